<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

/** What placed, canceled and rejected orders have in common. Send `orderId`, `clientOrderId` or both. */
abstract class OrderReport extends Event
{
    public const STREAM = 'orders';

    /**
     * @param  string  $product  linear, inverse or spot
     * @param  string  $instrument  the venue's own symbol, verbatim
     * @param  string|null  $side  buy or sell
     * @param  string|null  $orderType  in the venue's words, for example LIMIT
     * @param  string|null  $qty  for example '0.125'
     * @param  string|null  $price  '0' of market orders is fine
     * @param  string|null  $reason  in the venue's words
     */
    public function __construct(
        public int $accountId,
        public string $venue,
        public string $product,
        public string $instrument,
        public int $atMs,
        public ?string $orderId = null,
        public ?string $clientOrderId = null,
        public ?string $side = null,
        public ?string $orderType = null,
        public mixed $qty = null,
        public mixed $price = null,
        public mixed $stopPrice = null,
        public ?bool $reduceOnly = null,
        public int|string|null $signalId = null,
        public ?string $strategy = null,
        public ?string $reason = null,
    ) {
        $this->toArray(); // a mistake shows here, not where the event is sent
    }

    public function key(): string
    {
        return (string) $this->accountId;
    }

    protected function happenedAtMs(): int
    {
        return $this->atMs;
    }

    protected function body(): Body
    {
        return (new Body())
            ->account($this->accountId)
            ->text('venue', $this->venue, 32)
            ->oneOf('product', $this->product, ['linear', 'inverse', 'spot'])
            ->text('instrument', $this->instrument, 64)
            ->text('order_id', $this->orderId, 128)
            ->text('client_order_id', $this->clientOrderId, 128)
            ->timeMs('at_ms', $this->atMs)
            ->oneOf('side', $this->side, ['buy', 'sell'])
            ->text('order_type', $this->orderType, 32)
            ->unsigned('qty', $this->qty)
            ->unsigned('price', $this->price)
            ->unsigned('stop_price', $this->stopPrice)
            ->boolean('reduce_only', $this->reduceOnly)
            ->textOrInteger('signal_id', $this->signalId, 191)
            ->text('strategy', $this->strategy, 191)
            ->prose('reason', $this->reason, 512)
            ->check(
                $this->orderId !== null || $this->clientOrderId !== null,
                '`order_id` and `client_order_id` are missing; send one or both',
            );
    }
}
