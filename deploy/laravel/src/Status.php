<?php

declare(strict_types=1);

namespace Tradefleet\Laravel;

use Illuminate\Database\ConnectionResolverInterface;
use Illuminate\Database\Query\Builder;
use Tradefleet\Laravel\Schema\FleetSchema;
use Tradefleet\Laravel\Stream\Entry;
use Tradefleet\Laravel\Transport\RedisSource;
use Tradefleet\Laravel\Transport\Streams;

/** What the fleet is doing, from MySQL and Redis. Reads only. */
final class Status
{
    public function __construct(
        private ConnectionResolverInterface $databases,
        private FleetSchema $schema,
        private RedisSource $source,
        private Streams $streams,
    ) {
    }

    /**
     * A row per consumer and stream. lag: entries that were not applied yet; oldest_ms: age of the oldest of them.
     *
     * @return list<array<string, mixed>> consumer, stream, partitions, lag, oldest_ms, halted (a sentence each)
     */
    public function streams(): array
    {
        $offsets = $this->table('fleet_offsets')
            ->orderBy('consumer')->orderBy('stream')->orderBy('partition_no')
            ->get(['consumer', 'stream', 'partition_no', 'last_id', 'entries_read', 'halted_reason'])
            ->all();
        $rows = [];
        foreach ($this->lags($offsets) as $at => [$lag, $age]) {
            $offset = $offsets[$at];
            $key = "{$offset->consumer} {$offset->stream}";
            $rows[$key] ??= [
                'consumer' => $offset->consumer,
                'stream' => $offset->stream,
                'partitions' => 0,
                'lag' => 0,
                'oldest_ms' => 0,
                'halted' => [],
            ];
            $rows[$key]['partitions']++;
            $rows[$key]['lag'] += $lag;
            $rows[$key]['oldest_ms'] = max($rows[$key]['oldest_ms'], $age);
            if ($offset->halted_reason !== null) {
                $rows[$key]['halted'][] = "{$offset->partition_no}: {$offset->halted_reason}";
            }
        }

        return array_values($rows);
    }

    /** @return array<string, int> reason => events that wait for `fleet parked replay` or `skip` */
    public function parked(): array
    {
        return $this->counted(
            $this->table('fleet_parked')->whereNull('resolution')->groupBy('reason')->orderBy('reason'),
            'reason',
        );
    }

    /** @return array{waiting: int, unconfirmed: int} */
    public function outbox(): array
    {
        $counts = $this->counted($this->table('fleet_outbox')->where('state', '<', 2)->groupBy('state'), 'state');

        return ['waiting' => $counts['0'] ?? 0, 'unconfirmed' => $counts['1'] ?? 0];
    }

    /** @return array{closed_day: ?string, open_breaks: int} the last UTC day that is closed */
    public function books(): array
    {
        return [
            'closed_day' => $this->table('fleet_closed_days')->max('day'),
            'open_breaks' => $this->table('fleet_breaks')->whereNull('closed_at')->count(),
        ];
    }

    /** @return array<string, int> class => jobs of the last 24 hours that Python has seen */
    public function requests(): array
    {
        return $this->counted(
            $this->table('fleet_requests')->whereRaw('created_at > UTC_TIMESTAMP() - INTERVAL 1 DAY')->groupBy('class')
                ->orderBy('class'),
            'class',
        );
    }

    /**
     * @param  list<object>  $offsets
     * @return list<array{int, int}> events and milliseconds
     */
    private function lags(array $offsets): array
    {
        $xinfo = $xrange = [];
        foreach ($offsets as $offset) {
            $key = $this->source->prefix().Entry::partitionKey($offset->stream, (int) $offset->partition_no);
            $xinfo[] = ['XINFO', 'STREAM', $key];
            $xrange[] = ['XRANGE', $key, "({$offset->last_id}", '+', 'COUNT', '1'];
        }
        $infos = $this->streams->redis()->run($xinfo);
        $unread = $this->streams->redis()->run($xrange);
        $now = (int) (microtime(true) * 1000);

        return array_map(static function (object $offset, mixed $info, mixed $entries) use ($now): array {
            if (! is_array($entries) || $entries === []) {
                return [0, 0];
            }
            $added = self::member((array) $info, 'entries-added');
            $born = (int) explode('-', (string) $entries[0][0])[0];

            // An unread entry is never told as no lag, whatever the counters say.
            return [max($added - (int) $offset->entries_read, 1), max($now - $born, 0)];
        }, $offsets, $infos, $unread);
    }

    /** @param  array<array-key, mixed>  $info  a map, or name, value, name, value … */
    private static function member(array $info, string $name): int
    {
        $at = array_search($name, $info, true);

        return (int) ($info[$name] ?? ($at === false ? 0 : $info[$at + 1]));
    }

    private function table(string $name): Builder
    {
        return $this->databases->connection()->table($this->schema->table($name));
    }

    /** @return array<string, int> */
    private function counted(Builder $rows, string $column): array
    {
        return $rows->selectRaw("{$column} AS name, COUNT(*) AS rows_found")
            ->pluck('rows_found', 'name')
            ->map(static fn (mixed $count): int => (int) $count)
            ->all();
    }
}
