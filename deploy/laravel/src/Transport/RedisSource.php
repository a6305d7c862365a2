<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Transport;

use Illuminate\Contracts\Config\Repository as Config;
use Illuminate\Contracts\Foundation\Application;
use Illuminate\Redis\Connections\Connection;
use Illuminate\Redis\RedisManager;
use Illuminate\Support\Arr;
use Tradefleet\Laravel\Exceptions\NotConfigured;

/**
 * What config/queue.php and config/database.php say of the Redis behind the fleet's queue connection.
 *
 * The fleet reads and writes plain text there, so its own connection has no serializer and no compression.
 */
final class RedisSource
{
    private const PACKING = ['serializer', 'compression', 'compression_level'];

    /** Since then a connection's own prefix wins over the common one with phpredis too (Laravel #42279). */
    private const OWN_PREFIX_SINCE = '9.12.0';

    public function __construct(private Application $app, private Config $config)
    {
    }

    /**
     * The queue connection as config/queue.php has it.
     *
     * @return array<string, mixed>
     */
    public function queue(): array
    {
        $name = (string) $this->config->get('fleet.connection');
        $queue = $this->config->get("queue.connections.{$name}");
        $driver = $queue['driver'] ?? null;
        if ($driver !== 'redis') {
            $state = $queue === null ? 'is not in config/queue.php' : "has the driver {$driver}";
            throw new NotConfigured(
                "Queue connection `{$name}` {$state}, and the fleet shares Redis queues only: set "
                .'FLEET_LARAVEL_CONNECTION to a connection whose driver is redis.'
            );
        }

        return $queue;
    }

    /** Name of the Redis connection in config/database.php. */
    public function name(): string
    {
        return (string) ($this->queue()['connection'] ?? 'default');
    }

    /** What stands before every key of the queue connection. */
    public function prefix(): string
    {
        $redis = $this->redis();
        $own = $redis[$this->name()] ?? $redis['clusters'] ?? [];
        $isOld = version_compare($this->app->version(), self::OWN_PREFIX_SINCE, '<');
        $direct = $isOld && $this->client() === 'phpredis' ? null : $own['prefix'] ?? null;

        return (string) ($direct ?? $own['options']['prefix'] ?? $redis['options']['prefix'] ?? '');
    }

    public function client(): string
    {
        return (string) ($this->redis()['client'] ?? 'phpredis');
    }

    /** Options of phpredis that make keys' values unreadable to others, as far as they are set. */
    public function packing(): ?string
    {
        $redis = $this->redis();
        $own = $redis[$this->name()] ?? [];
        $set = array_filter(Arr::only(($own['options'] ?? []) + ($redis['options'] ?? []) + $own, self::PACKING));

        return $this->client() === 'phpredis' && $set !== [] ? implode(' and ', array_keys($set)) : null;
    }

    /** A connection of its own to where the streams live. Keys go there with their prefix written out. */
    public function connect(): Connection
    {
        $redis = $this->redis();
        $name = $this->name();
        // Predis throws at a pipeline's first error and forgets the replies before it, unless told not to.
        $mine = ['options' => $this->plain($redis['options'] ?? []) + ['exceptions' => false]];
        $url = $this->config->get('fleet.streams_redis_url');
        if ($url) {
            $mine['fleet'] = ['url' => $url];
        } elseif (isset($redis[$name])) {
            // A persistent socket that others use may be in another database.
            $mine['fleet'] = ['persistent_id' => 'fleet'] + $this->plain($redis[$name]);
        } else {
            $mine['clusters'] = [
                'options' => $this->plain($redis['clusters']['options'] ?? []),
                'fleet' => $redis['clusters'][$name] ?? [],
            ];
        }

        return (new RedisManager($this->app, $this->client(), $mine))->connection('fleet');
    }

    /** @return array<string, mixed> */
    private function redis(): array
    {
        return (array) $this->config->get('database.redis', []);
    }

    /**
     * @param  array<string, mixed>  $options
     * @return array<string, mixed>
     */
    private function plain(array $options): array
    {
        $options = Arr::except($options, ['prefix', ...self::PACKING]);
        if (isset($options['options'])) {
            $options['options'] = $this->plain($options['options']);
        }

        return $options;
    }
}
