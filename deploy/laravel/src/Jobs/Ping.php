<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Jobs;

use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use LogicException;

/** Python answers it in `fleet_requests`: the way there and back is open. */
final class Ping implements ShouldQueue
{
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;

    /** @param  string  $token  comes back in the answer; 1 to 64 characters */
    public function __construct(public string $token)
    {
        $this->onConnection(config('fleet.connection'));
        $this->onQueue(config('fleet.queue'));
    }

    public function handle(): void
    {
        throw new LogicException(
            'Python runs this job. This PHP worker listens to a queue of the fleet: take `'.config('fleet.queue')
            .'` out of its --queue list.'
        );
    }
}
