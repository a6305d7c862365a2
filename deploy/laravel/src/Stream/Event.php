<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

use Illuminate\Contracts\Support\Arrayable;
use Illuminate\Support\Str;
use JsonException;
use ReflectionMethod;
use Tradefleet\Laravel\Exceptions\InvalidEvent;

/**
 * What happened, as the fleet books it. One class per type and version; fields that are null are left out.
 *
 * Amounts are strings of plain decimals, as the venue sent them: a float has lost digits before it gets here.
 *
 * @implements Arrayable<string, mixed>
 */
abstract class Event implements Arrayable
{
    public const TYPE = '';

    public const STREAM = '';

    /** Type on the wire => class. */
    public const CLASSES = [
        OrderFilled::TYPE => OrderFilled::class,
        OrderPlaced::TYPE => OrderPlaced::class,
        OrderCanceled::TYPE => OrderCanceled::class,
        OrderRejected::TYPE => OrderRejected::class,
        CashMoved::TYPE => CashMoved::class,
        PositionOpened::TYPE => PositionOpened::class,
        PositionObserved::TYPE => PositionObserved::class,
        BalanceObserved::TYPE => BalanceObserved::class,
        SignalReceived::TYPE => SignalReceived::class,
    ];

    private const JSON = JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES;

    /** As the fleet's decoder has it; an order event has half a kilobyte. */
    private const DATA_BYTES = 65_536;

    private ?string $eventId = null;

    private ?string $traceparent = null;

    /** Partition key: events of one key are applied in order. */
    abstract public function key(): string;

    /** Milliseconds since 1970 UTC. */
    abstract protected function happenedAtMs(): int;

    abstract protected function body(): Body;

    /**
     * An event from its data under the names of the wire, `account_id` and not `accountId`.
     *
     * @param  array<string, mixed>  $data
     */
    public static function of(string $type, array $data): self
    {
        $class = self::CLASSES[$type] ?? throw new InvalidEvent(
            "{$type} is no type of event; one of ".implode(', ', array_keys(self::CLASSES)).' is'
        );
        $arguments = [];
        foreach ($data as $name => $value) {
            $arguments[Str::camel($name)] = $value;
        }
        self::refuseUnknown($class, $arguments);

        return new $class(...$arguments);
    }

    public function type(): string
    {
        return static::TYPE;
    }

    public function stream(): string
    {
        return static::STREAM;
    }

    /** Unique, and the same however often this object is sent: the fleet knows a repetition by it. */
    public function id(): string
    {
        return $this->eventId ??= (string) Str::uuid();
    }

    /** @return $this */
    public function withId(string $id): static
    {
        $this->eventId = Body::checkedText('id', $id, 191);

        return $this;
    }

    /**
     * The W3C trace this event belongs to.
     *
     * @return $this
     */
    public function withTraceparent(?string $traceparent): static
    {
        $this->traceparent = $traceparent;

        return $this;
    }

    /** @return array<string, mixed> the data under the names of the wire */
    final public function toArray(): array
    {
        return $this->body()->toArray();
    }

    public function toJson(): string
    {
        try {
            $json = json_encode($this->toArray(), self::JSON);
        } catch (JsonException $error) {
            throw new InvalidEvent(static::TYPE.": {$error->getMessage()}; send text as UTF-8", 0, $error);
        }
        if (strlen($json) > self::DATA_BYTES) {
            throw new InvalidEvent(sprintf(
                '%s: the data has %d bytes, the limit is %d; send less',
                static::TYPE,
                strlen($json),
                self::DATA_BYTES,
            ));
        }

        return $json;
    }

    public function toEntry(): Entry
    {
        return new Entry(
            static::STREAM,
            static::TYPE,
            $this->key(),
            $this->id(),
            $this->happenedAtMs().'000',
            $this->toJson(),
            $this->traceparent,
        );
    }

    /**
     * @param  class-string<self>  $class
     * @param  array<string, mixed>  $arguments
     */
    private static function refuseUnknown(string $class, array $arguments): void
    {
        foreach ((new ReflectionMethod($class, '__construct'))->getParameters() as $parameter) {
            unset($arguments[$parameter->getName()]);
        }
        if ($arguments !== []) {
            $names = implode(', ', array_map([Str::class, 'snake'], array_keys($arguments)));
            throw new InvalidEvent($class::TYPE." has no field {$names}; leave it out");
        }
    }
}
