<?php

declare(strict_types=1);

namespace App\Jobs;

use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Redis;
use RuntimeException;

/** Leaves a word in `chaos:starts` at the start of each run, and a row for each that comes to its end. */
class Traced implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    /** @param int $throws so many first attempts fail */
    public function __construct(public int $milliseconds, public int $throws, public ?int $tries)
    {
    }

    public function handle(): void
    {
        $startedUs = (int) (microtime(true) * 1e6);
        Redis::rpush('chaos:starts', json_encode([$this->job->uuid(), $this->attempts(), 'php', getmypid(), $startedUs]));
        usleep(1000 * $this->milliseconds);
        if ($this->attempts() <= $this->throws) {
            throw new RuntimeException('it was told to fail');
        }
        DB::table(config('fleet.database').'.chaos_runs')->insert([
            'uuid' => $this->job->uuid(),
            'attempt' => $this->attempts(),
            'runner' => 'php',
            'pid' => getmypid(),
            'started_us' => $startedUs,
        ]);
    }
}
