<?php

declare(strict_types=1);

namespace App\Console\Commands;

use App\Jobs\Noop;
use App\Jobs\Tell;
use Illuminate\Bus\Batch;
use Illuminate\Console\Command;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Support\Facades\Bus;
use RuntimeException;
use Throwable;

class DeskDispatch extends Command
{
    protected $signature = 'desk:dispatch {count=1 : how many times}
        {--jobs= : JSON list of [class, arguments] instead of no-op jobs; the arguments a list or an object of names}
        {--as=each : each, chain or batch; chains and batches say in `desk:told` how they end}
        {--allow-failures : the batch goes on when a job fails}
        {--queue= : default: the class\'s own, or default}
        {--delay= : seconds}';

    protected $description = 'Dispatch jobs: no-op ones, or those named, one by one, as a chain or as a batch';

    public function handle(): int
    {
        $count = (int) $this->argument('count');
        $began = hrtime(true);
        for ($number = 1; $number <= $count; $number++) {
            $this->dispatchOnce($number);
        }
        $seconds = (hrtime(true) - $began) / 1e9;
        $this->line(json_encode(['dispatched' => $count, 'seconds' => round($seconds, 3)], JSON_THROW_ON_ERROR));

        return self::SUCCESS;
    }

    private function dispatchOnce(int $number): void
    {
        if ($this->option('jobs') === null) {
            // The statement's end drops the pending dispatch, which is what sends it.
            Noop::dispatch($number)->onQueue($this->option('queue') ?? 'default');

            return;
        }
        $named = json_decode((string) $this->option('jobs'), true, 512, JSON_THROW_ON_ERROR);
        match ($this->option('as')) {
            'each' => array_walk($named, fn (array $one) => $this->dispatchOne(...$one)),
            'chain' => $this->chain($this->made($named)),
            'batch' => $this->batch($this->made($named)),
            default => throw new RuntimeException('--as is one of each, chain, batch'),
        };
    }

    /** @param array<array-key, mixed> $arguments */
    private function dispatchOne(string $class, array $arguments = []): void
    {
        $pending = $class::dispatch(...$arguments);
        if ($this->option('queue') !== null) {
            $pending->onQueue($this->option('queue'));
        }
        if ($this->option('delay') !== null) {
            $pending->delay((int) $this->option('delay'));
        }
    }

    /**
     * @param list<array{string, array<array-key, mixed>}> $named
     * @return list<ShouldQueue>
     */
    private function made(array $named): array
    {
        return array_map(fn (array $one): ShouldQueue => new $one[0](...($one[1] ?? [])), $named);
    }

    /** @param list<ShouldQueue> $jobs */
    private function chain(array $jobs): void
    {
        Bus::chain($jobs)
            ->catch(static function (Throwable $failure): void {
                Tell::say('chain caught: '.$failure->getMessage());
            })
            ->dispatch();
    }

    /** @param list<ShouldQueue> $jobs */
    private function batch(array $jobs): void
    {
        Bus::batch($jobs)
            ->then(static function (Batch $batch): void {
                Tell::say("batch then: {$batch->processedJobs()} of {$batch->totalJobs}");
            })
            ->catch(static function (Batch $batch, Throwable $failure): void {
                Tell::say('batch caught: '.$failure->getMessage());
            })
            ->finally(static function (Batch $batch): void {
                Tell::say("batch finally: {$batch->failedJobs} failed");
            })
            ->allowFailures((bool) $this->option('allow-failures'))
            ->onConnection('redis')
            ->onQueue($this->option('queue') ?? 'default')
            ->dispatch();
    }
}
