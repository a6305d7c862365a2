<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Doctor;

use Illuminate\Contracts\Foundation\Application;
use Illuminate\Database\ConnectionInterface;
use Illuminate\Database\ConnectionResolverInterface;
use Illuminate\Support\Str;
use Throwable;
use Tradefleet\Laravel\Schema\AccountSources;
use Tradefleet\Laravel\Schema\FleetSchema;
use Tradefleet\Laravel\Stream\Entry;
use Tradefleet\Laravel\Transport\Outbox;
use Tradefleet\Laravel\Transport\RedisSource;
use Tradefleet\Laravel\Transport\Streams;

/** What must hold before an event or a job can get through. Changes nothing. */
final class Checks
{
    /** Since then delayed jobs go through a script too and are plain text, whatever the connection's options. */
    private const PLAIN_SINCE = '12.45.0';

    public function __construct(
        private Application $app,
        private RedisSource $redis,
        private Streams $streams,
        private Outbox $outbox,
        private FleetSchema $schema,
        private ConnectionResolverInterface $databases,
    ) {
    }

    /** @return iterable<Finding> */
    public function run(): iterable
    {
        yield $this->plainText();
        yield $this->retryAfter();
        yield $this->partitions();
        yield $this->outbox();
        yield $this->accounts();
    }

    private function plainText(): Finding
    {
        $packing = $this->redis->packing();
        if ($packing !== null && version_compare($this->app->version(), self::PLAIN_SINCE, '<')) {
            return Finding::bad(
                "Redis connection `{$this->redis->name()}` of the queue has {$packing} set: this Laravel packs delayed "
                .'jobs so that nobody else can read them',
                'give the queue a Redis connection of its own without these options (config/database.php, '
                .'config/queue.php)',
            );
        }

        return Finding::good('jobs are plain text in Redis');
    }

    private function retryAfter(): Finding
    {
        $queue = $this->redis->queue();
        if (array_key_exists('retry_after', $queue) && $queue['retry_after'] === null) {
            return Finding::bad(
                'retry_after of the queue connection is null: Horizon never puts back the job of a worker that died, '
                .'and Laravel itself takes 60 seconds for it',
                'write seconds, more than the longest job takes: \'retry_after\' => 90 (config/queue.php)',
            );
        }

        return Finding::good('jobs of a worker that died come back after '.($queue['retry_after'] ?? 60).' s');
    }

    private function partitions(): Finding
    {
        try {
            return Finding::good("events go to {$this->streams->partitions()} partitions per stream");
        } catch (Throwable $error) {
            return Finding::bad(
                'the number of partitions cannot be read: '.Finding::reason($error),
                'start the fleet once; see that both sides have the same Redis, database and REDIS_PREFIX '
                .'(php artisan fleet:export)',
            );
        }
    }

    private function outbox(): Finding
    {
        $table = $this->schema->quoted('fleet_outbox');
        try {
            $this->rolledBack($this->databases->connection(), function (): void {
                $this->outbox->insert(
                    new Entry('orders', 'fleet.doctor', '0', (string) Str::uuid(), '1767225600000000', '{}'),
                );
            });
        } catch (Throwable $error) {
            return Finding::bad(
                "this user cannot write {$table}: ".Finding::reason($error),
                "php artisan migrate (or `fleet migrate`), and GRANT SELECT, INSERT ON {$table} TO this user",
            );
        }

        return Finding::good("{$table} takes rows");
    }

    private function accounts(): Finding
    {
        $view = $this->schema->quoted(AccountSources::VIEW);
        try {
            $this->databases->connection()
                ->table($this->schema->table(AccountSources::VIEW))
                ->first(AccountSources::COLUMNS);
        } catch (Throwable $error) {
            return Finding::bad(
                "{$view} cannot be read: ".Finding::reason($error),
                'set accounts in config/fleet.php, then php artisan migrate; this user needs SELECT on the view and on '
                .'the table behind it. After a change of the columns: php artisan migrate:refresh '
                .'--path=database/migrations/2026_01_01_000002_create_fleet_account_sources_view.php',
            );
        }

        return Finding::good("{$view} shows the accounts");
    }

    /** Nothing of it is ever seen by the relay. */
    private function rolledBack(ConnectionInterface $connection, callable $work): void
    {
        $connection->beginTransaction();
        try {
            $work();
        } finally {
            $connection->rollBack();
        }
    }

}
