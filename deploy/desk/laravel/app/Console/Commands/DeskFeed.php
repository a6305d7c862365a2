<?php

declare(strict_types=1);

namespace App\Console\Commands;

use Illuminate\Console\Command;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Redis;
use RuntimeException;

/**
 * Events from JSON lines, written the two ways a Laravel application may write them.
 *
 * A line: {"stream":"orders","type":"order.filled.1","key":"42","id":"…","ts_us":"…","data":{…}}, with
 * an optional "traceparent"; "data" stands last, or is JSON text in a string. Its bytes stay as they are.
 */
class DeskFeed extends Command
{
    private const IDLE_MICROSECONDS = 200_000;
    private const REPORT_SECONDS = 1.0;

    protected $signature = 'desk:feed {file : a file, or - for standard input}
        {--via=outbox : outbox, xadd, or mixed (line by line in turn)}
        {--chunk=500 : events per transaction or pipeline}';

    protected $description = 'Write events from JSON lines to the outbox or straight to the streams';

    private int $partitions = 0;
    /** @var array{outbox: int, xadd: int} */
    private array $written = ['outbox' => 0, 'xadd' => 0];

    public function handle(): int
    {
        $via = (string) $this->option('via');
        if (! in_array($via, ['outbox', 'xadd', 'mixed'], true)) {
            throw new RuntimeException("--via={$via} is not one of outbox, xadd, mixed");
        }
        if ($via !== 'outbox') {
            $this->partitions = $this->publishedPartitions();
        }
        $began = $reported = microtime(true);
        foreach ($this->chunks((int) $this->option('chunk')) as $events) {
            $this->write($events, $via);
            if (microtime(true) - $reported >= self::REPORT_SECONDS) {
                $reported = microtime(true);
                $this->report($began, false);
            }
        }
        $this->report($began, true);

        return self::SUCCESS;
    }

    private function publishedPartitions(): int
    {
        $partitions = (int) Redis::get('fleet:partitions');
        if ($partitions < 1) {
            throw new RuntimeException('fleet:partitions is not in Redis: has the fleet been started once?');
        }

        return $partitions;
    }

    /** @return iterable<list<array<string, string|null>>> full chunks, or less when the input pauses */
    private function chunks(int $size): iterable
    {
        $file = (string) $this->argument('file');
        $input = $file === '-' ? STDIN : fopen($file, 'r');
        $events = [];
        while ($input !== false) {
            $ready = [$input];
            $none = null;
            if ($events !== [] && stream_select($ready, $none, $none, 0, self::IDLE_MICROSECONDS) === 0) {
                yield $events;
                $events = [];
            }
            $line = fgets($input);
            if ($line === false) {
                break;
            }
            if (trim($line) !== '') {
                $events[] = $this->event(trim($line));
            }
            if (count($events) >= $size) {
                yield $events;
                $events = [];
            }
        }
        if ($events !== []) {
            yield $events;
        }
    }

    /** @return array<string, string|null> */
    private function event(string $line): array
    {
        $event = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
        $data = is_string($event['data']) ? $event['data'] : $this->dataText($line);

        return [
            'stream' => (string) $event['stream'],
            'type' => (string) $event['type'],
            'key' => (string) $event['key'],
            'id' => (string) $event['id'],
            'ts_us' => (string) $event['ts_us'],
            'data' => $data,
            'traceparent' => $event['traceparent'] ?? null,
        ];
    }

    /**
     * The object's own text. Decoding and encoding again could change numbers and escapes. Only names stand
     * before a colon and a quote inside a text is escaped, so the first match is the member itself.
     */
    private function dataText(string $line): string
    {
        preg_match('/"data"\s*:\s*/', $line, $found, PREG_OFFSET_CAPTURE);
        $text = rtrim(substr($line, $found[0][1] + strlen($found[0][0]), -1));
        if (json_decode($text) === null) {
            throw new RuntimeException('"data" must be the last member of its line: '.$line);
        }

        return $text;
    }

    /** @param list<array<string, string|null>> $events */
    private function write(array $events, string $via): void
    {
        $outbox = $stream = [];
        foreach ($events as $position => $event) {
            if ($via === 'outbox' || ($via === 'mixed' && $position % 2 === 0)) {
                $outbox[] = $event;
            } else {
                $stream[] = $event;
            }
        }
        if ($outbox !== []) {
            $this->insert($outbox);
        }
        if ($stream !== []) {
            $this->append($stream);
        }
        $this->written['outbox'] += count($outbox);
        $this->written['xadd'] += count($stream);
    }

    /** @param list<array<string, string|null>> $events */
    private function insert(array $events): void
    {
        $rows = array_map(static fn (array $event): array => [
            'stream' => $event['stream'],
            'type' => $event['type'],
            'event_key' => $event['key'],
            'event_id' => $event['id'],
            'ts_us' => $event['ts_us'],
            'data' => $event['data'],
            'traceparent' => $event['traceparent'],
        ], $events);
        DB::transaction(static fn (): bool => DB::table(config('fleet.database').'.fleet_outbox')->insert($rows));
    }

    /** @param list<array<string, string|null>> $events */
    private function append(array $events): void
    {
        $ids = Redis::pipeline(function ($pipe) use ($events): void {
            foreach ($events as $event) {
                $partition = crc32((string) $event['key']) % $this->partitions;
                $fields = array_filter($event, static fn ($value): bool => $value !== null);
                unset($fields['stream']);
                $pipe->xadd("streams:{{$event['stream']}:{$partition}}", '*', $fields);
            }
        });
        if (in_array(false, $ids, true)) {
            throw new RuntimeException('Redis refused an entry; is it out of memory?');
        }
    }

    private function report(float $began, bool $done): void
    {
        $seconds = round(microtime(true) - $began, 3);
        $this->line(json_encode([...$this->written, 'seconds' => $seconds, 'done' => $done], JSON_THROW_ON_ERROR));
    }
}
