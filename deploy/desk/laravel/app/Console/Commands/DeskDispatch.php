<?php

declare(strict_types=1);

namespace App\Console\Commands;

use App\Jobs\Noop;
use Illuminate\Console\Command;

class DeskDispatch extends Command
{
    protected $signature = 'desk:dispatch {count} {--queue=default}';

    protected $description = 'Dispatch no-op jobs';

    public function handle(): int
    {
        $count = (int) $this->argument('count');
        $queue = (string) $this->option('queue');
        $began = hrtime(true);
        for ($number = 1; $number <= $count; $number++) {
            // The statement's end drops the pending dispatch, which is what sends it.
            Noop::dispatch($number)->onQueue($queue);
        }
        $seconds = (hrtime(true) - $began) / 1e9;
        $this->line(json_encode(['dispatched' => $count, 'seconds' => round($seconds, 3)], JSON_THROW_ON_ERROR));

        return self::SUCCESS;
    }
}
