<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Testing;

use Closure;
use Illuminate\Support\Collection;
use Illuminate\Support\Traits\ReflectsClosures;
use PHPUnit\Framework\Assert as PHPUnit;
use Tradefleet\Laravel\Producer;
use Tradefleet\Laravel\Stream\Event;

/** Keeps what would have been sent. Assertions take a class, or a closure whose parameter names it. */
final class FleetFake implements Producer
{
    use ReflectsClosures;

    /** @var array{recorded: list<Event>, published: list<Event>} */
    private array $events = ['recorded' => [], 'published' => []];

    /** @var list<string> */
    private array $actors = [];

    public function record(Event ...$events): void
    {
        $this->keep('recorded', $events);
    }

    public function publish(Event ...$events): array
    {
        $this->keep('published', $events);

        return array_map(static fn (int $at): string => "1-{$at}", array_keys(array_values($events)));
    }

    public function actor(string $actor, string $requestId = ''): void
    {
        $this->actors[] = $actor;
    }

    /** @return list<string> */
    public function actors(): array
    {
        return $this->actors;
    }

    /**
     * @param  class-string<Event>  $event
     * @return Collection<int, Event>
     */
    public function recorded(string $event, ?callable $callback = null): Collection
    {
        return $this->kept('recorded', $event, $callback);
    }

    /**
     * @param  class-string<Event>  $event
     * @return Collection<int, Event>
     */
    public function published(string $event, ?callable $callback = null): Collection
    {
        return $this->kept('published', $event, $callback);
    }

    public function assertRecorded(string|Closure $event, callable|int|null $callback = null): void
    {
        $this->assertKept('recorded', $event, $callback);
    }

    public function assertNotRecorded(string|Closure $event, ?callable $callback = null): void
    {
        $this->assertNotKept('recorded', $event, $callback);
    }

    public function assertNothingRecorded(): void
    {
        $this->assertNothingKept('recorded');
    }

    public function assertPublished(string|Closure $event, callable|int|null $callback = null): void
    {
        $this->assertKept('published', $event, $callback);
    }

    public function assertNotPublished(string|Closure $event, ?callable $callback = null): void
    {
        $this->assertNotKept('published', $event, $callback);
    }

    public function assertNothingPublished(): void
    {
        $this->assertNothingKept('published');
    }

    /** @param  array<array-key, Event>  $events */
    private function keep(string $how, array $events): void
    {
        foreach ($events as $event) {
            $event->toEntry(); // refuses what the real one refuses
            $this->events[$how][] = $event;
        }
    }

    /** @return Collection<int, Event> */
    private function kept(string $how, string $event, ?callable $callback): Collection
    {
        return (new Collection($this->events[$how]))->filter(
            static fn (Event $kept): bool => $kept instanceof $event && ($callback === null || $callback($kept))
        )->values();
    }

    private function assertKept(string $how, string|Closure $event, callable|int|null $callback): void
    {
        [$class, $callback] = $this->classAndCallback($event, $callback);
        $count = $this->kept($how, $class, is_int($callback) ? null : $callback)->count();
        if (is_int($callback)) {
            $sentence = "[{$class}] was {$how} {$count} times instead of {$callback} times.";
            PHPUnit::assertTrue($count === $callback, $sentence);
        } else {
            PHPUnit::assertTrue($count > 0, "The expected [{$class}] was not {$how}.");
        }
    }

    private function assertNotKept(string $how, string|Closure $event, ?callable $callback): void
    {
        [$class, $callback] = $this->classAndCallback($event, $callback);
        PHPUnit::assertTrue($this->kept($how, $class, $callback)->isEmpty(), "The unexpected [{$class}] was {$how}.");
    }

    private function assertNothingKept(string $how): void
    {
        $types = array_map(static fn (Event $event): string => $event->type(), $this->events[$how]);
        PHPUnit::assertTrue($types === [], "Events were {$how} unexpectedly: ".implode(', ', $types).'.');
    }

    /** @return array{class-string<Event>, callable|int|null} */
    private function classAndCallback(string|Closure $event, callable|int|null $callback): array
    {
        return $event instanceof Closure ? [$this->firstClosureParameterType($event), $event] : [$event, $callback];
    }
}
