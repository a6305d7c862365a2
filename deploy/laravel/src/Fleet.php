<?php

declare(strict_types=1);

namespace Tradefleet\Laravel;

use Illuminate\Support\Facades\Facade;
use Tradefleet\Laravel\Testing\FleetFake;

/**
 * @method static void record(\Tradefleet\Laravel\Stream\Event ...$events)
 * @method static list<string> publish(\Tradefleet\Laravel\Stream\Event ...$events)
 * @method static void actor(string $actor, string $requestId = '')
 * @method static list<string> actors()
 * @method static \Illuminate\Support\Collection recorded(string $event, callable|null $callback = null)
 * @method static \Illuminate\Support\Collection published(string $event, callable|null $callback = null)
 * @method static void assertRecorded(string|\Closure $event, callable|int|null $callback = null)
 * @method static void assertNotRecorded(string|\Closure $event, callable|null $callback = null)
 * @method static void assertNothingRecorded()
 * @method static void assertPublished(string|\Closure $event, callable|int|null $callback = null)
 * @method static void assertNotPublished(string|\Closure $event, callable|null $callback = null)
 * @method static void assertNothingPublished()
 *
 * @see FleetProducer
 * @see FleetFake
 */
final class Fleet extends Facade
{
    /** From now on events are kept for assertions instead of being sent. */
    public static function fake(): FleetFake
    {
        $fake = new FleetFake();
        self::swap($fake);

        return $fake;
    }

    protected static function getFacadeAccessor(): string
    {
        return Producer::class;
    }
}
