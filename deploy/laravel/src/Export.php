<?php

declare(strict_types=1);

namespace Tradefleet\Laravel;

use Composer\InstalledVersions;
use Illuminate\Contracts\Config\Repository as Config;
use Illuminate\Contracts\Foundation\Application;
use Illuminate\Database\ConnectionResolverInterface;
use Illuminate\Support\ConfigurationUrlParser;
use Tradefleet\Laravel\Jobs\HandBack;
use Tradefleet\Laravel\Schema\FleetSchema;
use Tradefleet\Laravel\Transport\RedisSource;

/** What Laravel knows and no .env says for certain, under the names of .env. Never a password, never a key. */
final class Export
{
    public const FORMAT = 1;

    /** Classes that the fleet dispatches, once the application has them. */
    private const JOBS = [
        'App\Jobs\Fleet\DayClosed',
        'App\Jobs\Fleet\DayRestated',
        'App\Jobs\Fleet\PositionDiverged',
        'App\Jobs\Fleet\AccountSuspended',
        HandBack::class,
    ];

    /** Laravel's, where `retry_after` is missing or null. */
    private const RETRY_AFTER = 60;

    public function __construct(
        private Application $app,
        private Config $config,
        private ConnectionResolverInterface $databases,
        private FleetSchema $schema,
        private RedisSource $redis,
    ) {
    }

    /** @return array<string, string|int|bool|null> */
    public function values(): array
    {
        return $this->application() + $this->redisValues() + $this->cache() + $this->queue() + $this->fleet();
    }

    /** @return array<string, string|null> */
    private function application(): array
    {
        $values = [
            'APP_NAME' => $this->config->get('app.name'),
            'APP_ENV' => $this->app->environment(),
            'APP_TIMEZONE' => $this->config->get('app.timezone'),
            'APP_CIPHER' => $this->config->get('app.cipher'),
            'APP_MAINTENANCE_DRIVER' => $this->config->get('app.maintenance.driver', 'file'),
            'DB_DATABASE' => $this->databases->connection()->getDatabaseName(),
        ];
        if ($values['APP_MAINTENANCE_DRIVER'] === 'cache') {
            $store = (string) ($this->config->get('app.maintenance.store') ?: $this->store());
            $values['APP_MAINTENANCE_STORE'] = $this->storeDriver($store);
        }

        return $values;
    }

    /** @return array<string, string|int|null> */
    private function redisValues(): array
    {
        return [
            'REDIS_CLIENT' => $this->redis->client(),
            'REDIS_PREFIX' => $this->redis->prefix(),
            'REDIS_DB' => $this->redisDatabase($this->redis->name()),
            'REDIS_CACHE_DB' => $this->redisDatabase(
                (string) $this->config->get("cache.stores.{$this->redisStore()}.connection", 'cache')
            ),
        ];
    }

    /** @return array<string, string|null> */
    private function cache(): array
    {
        $store = $this->store();
        $common = $this->config->get('cache.prefix');

        return [
            'CACHE_STORE' => $this->storeDriver($store),
            'CACHE_PREFIX' => (string) $this->config->get("cache.stores.{$store}.prefix", $common),
        ];
    }

    /** @return array<string, string|int|null> */
    private function queue(): array
    {
        $queue = $this->redis->queue();
        $failed = (array) $this->config->get('queue.failed', []);
        $horizon = $this->horizon();
        $values = [
            'QUEUE_CONNECTION' => $this->config->get('queue.default'),
            'REDIS_QUEUE' => $queue['queue'] ?? 'default',
            'REDIS_QUEUE_RETRY_AFTER' => $queue['retry_after'] ?? ($horizon === null ? self::RETRY_AFTER : null),
            'QUEUE_FAILED_DRIVER' => self::failedDriver($failed),
        ];
        if (isset($failed['table'])) {
            $connection = $this->databases->connection($failed['database'] ?? null);
            $values['FLEET_LARAVEL_FAILED_TABLE'] = $failed['table'];
            $values['FLEET_LARAVEL_FAILED_DATABASE'] = $connection->getDatabaseName();
        }
        if ($horizon !== null) {
            $values['HORIZON_PREFIX'] = $this->config->get('horizon.prefix') ?: 'horizon:';
            $values['FLEET_LARAVEL_HORIZON'] = $horizon;
        }

        return $values;
    }

    /** @return array<string, string> */
    private function fleet(): array
    {
        return [
            'FLEET_DB_DATABASE' => $this->schema->name(),
            'FLEET_QUEUES' => (string) $this->config->get('fleet.queues'),
            'FLEET_EVENTS_QUEUE' => (string) $this->config->get('fleet.events_queue'),
            'FLEET_LARAVEL_CONNECTION' => (string) $this->config->get('fleet.connection'),
            'FLEET_LARAVEL_VERSION' => $this->app->version(),
            'FLEET_LARAVEL_STORAGE' => $this->app->storagePath(),
            'FLEET_LARAVEL_JOBS' => implode(',', array_filter(self::JOBS, 'class_exists')),
        ];
    }

    private function store(): string
    {
        return (string) $this->config->get('cache.default');
    }

    private function storeDriver(string $store): ?string
    {
        return $this->config->get("cache.stores.{$store}.driver");
    }

    /** The default store if it is on Redis, or the one that is called so. */
    private function redisStore(): string
    {
        return $this->storeDriver($this->store()) === 'redis' ? $this->store() : 'redis';
    }

    private function redisDatabase(string $connection): int
    {
        $found = (new ConfigurationUrlParser())->parseConfiguration(
            (array) $this->config->get("database.redis.{$connection}", [])
        );

        return (int) ($found['database'] ?? 0);
    }

    /**
     * As Laravel's QueueServiceProvider chooses it.
     *
     * @param  array<string, mixed>  $failed
     */
    private static function failedDriver(array $failed): string
    {
        if (array_key_exists('driver', $failed)) {
            return (string) ($failed['driver'] ?? 'null');
        }

        return isset($failed['table']) ? 'database' : 'null';
    }

    private function horizon(): ?string
    {
        return class_exists(InstalledVersions::class) && InstalledVersions::isInstalled('laravel/horizon')
            ? InstalledVersions::getPrettyVersion('laravel/horizon')
            : null;
    }
}
