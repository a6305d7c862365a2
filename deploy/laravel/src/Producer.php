<?php

declare(strict_types=1);

namespace Tradefleet\Laravel;

use Tradefleet\Laravel\Stream\Event;

/** Sends events to the fleet. Ask the container for it, or use the facade Fleet. */
interface Producer
{
    /** Rows of the outbox, in the caller's own transaction: nothing is lost, and a rollback leaves nothing. */
    public function record(Event ...$events): void;

    /**
     * Straight to the streams: quick, and as durable as Redis. After a failover some may be gone.
     *
     * @return list<string> ids of the stream entries
     */
    public function publish(Event ...$events): array;

    /** Who is behind the caller's transaction, for the audit log: `user:42`. Throws where none is open. */
    public function actor(string $actor, string $requestId = ''): void;
}
