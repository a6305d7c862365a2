<?php

declare(strict_types=1);

namespace App\Console\Commands;

use Illuminate\Console\Command;
use RuntimeException;
use Tradefleet\Laravel\Fleet;
use Tradefleet\Laravel\Stream\Entry;
use Tradefleet\Laravel\Stream\Event;
use Tradefleet\Laravel\Transport\Outbox;
use Tradefleet\Laravel\Transport\Streams;

/**
 * Events from JSON lines, written the two ways a Laravel application may write them.
 *
 * A line: {"stream":"orders","type":"order.filled.1","key":"42","id":"…","ts_us":"…","data":{…}}, with
 * an optional "traceparent"; "data" stands last, or is JSON text in a string. Its bytes stay as they are, right or
 * wrong, unless --typed: then a line becomes one of the package's event classes, which refuses what is malformed.
 */
class DeskFeed extends Command
{
    private const IDLE_MICROSECONDS = 200_000;
    private const REPORT_SECONDS = 1.0;

    protected $signature = 'desk:feed {file : a file, or - for standard input}
        {--via=outbox : outbox, xadd, or mixed (line by line in turn)}
        {--chunk=500 : events per transaction or pipeline}
        {--typed : through the event classes of tradefleet/laravel}';

    protected $description = 'Write events from JSON lines to the outbox or straight to the streams';

    /** @var array{outbox: int, xadd: int} */
    private array $written = ['outbox' => 0, 'xadd' => 0];

    public function handle(): int
    {
        $via = (string) $this->option('via');
        if (! in_array($via, ['outbox', 'xadd', 'mixed'], true)) {
            throw new RuntimeException("--via={$via} is not one of outbox, xadd, mixed");
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

    /** @return iterable<list<Entry|Event>> full chunks, or less when the input pauses */
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
                $events[] = $this->option('typed') ? $this->typed(trim($line)) : $this->verbatim(trim($line));
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

    private function typed(string $line): Event
    {
        $told = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
        $data = is_string($told['data']) ? json_decode($told['data'], true, 512, JSON_THROW_ON_ERROR) : $told['data'];

        return Event::of($told['type'], $data)->withId($told['id'])->withTraceparent($told['traceparent'] ?? null);
    }

    private function verbatim(string $line): Entry
    {
        $told = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
        $data = is_string($told['data']) ? $told['data'] : $this->dataText($line);

        return new Entry(
            (string) $told['stream'],
            (string) $told['type'],
            (string) $told['key'],
            (string) $told['id'],
            (string) $told['ts_us'],
            $data,
            $told['traceparent'] ?? null,
        );
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

    /** @param list<Entry|Event> $events */
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
        if ($this->option('typed')) {
            Fleet::record(...$outbox);
            Fleet::publish(...$stream);
        } else {
            app(Outbox::class)->insert(...$outbox);
            app(Streams::class)->append(...$stream);
        }
        $this->written['outbox'] += count($outbox);
        $this->written['xadd'] += count($stream);
    }

    private function report(float $began, bool $done): void
    {
        $seconds = round(microtime(true) - $began, 3);
        $this->line(json_encode([...$this->written, 'seconds' => $seconds, 'done' => $done], JSON_THROW_ON_ERROR));
    }
}
