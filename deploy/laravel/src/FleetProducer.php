<?php

declare(strict_types=1);

namespace Tradefleet\Laravel;

use Tradefleet\Laravel\Actor\ChangeContext;
use Tradefleet\Laravel\Stream\Entry;
use Tradefleet\Laravel\Stream\Event;
use Tradefleet\Laravel\Transport\Outbox;
use Tradefleet\Laravel\Transport\Streams;

/** The real thing: MySQL and Redis. */
final class FleetProducer implements Producer
{
    public function __construct(private Outbox $outbox, private Streams $streams, private ChangeContext $context)
    {
    }

    public function record(Event ...$events): void
    {
        $this->outbox->insert(...self::entries($events));
    }

    public function publish(Event ...$events): array
    {
        return $this->streams->append(...self::entries($events));
    }

    public function actor(string $actor, string $requestId = ''): void
    {
        $this->context->insert($actor, $requestId);
    }

    /**
     * @param  array<array-key, Event>  $events
     * @return list<Entry>
     */
    private static function entries(array $events): array
    {
        return array_map(static fn (Event $event): Entry => $event->toEntry(), array_values($events));
    }
}
