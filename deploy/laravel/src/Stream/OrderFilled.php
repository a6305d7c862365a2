<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

/** The venue executed (part of) an order. Null means not known yet; send the event again when it is. */
final class OrderFilled extends Event
{
    public const TYPE = 'order.filled.1';

    public const STREAM = 'orders';

    /**
     * @param  string  $product  linear, inverse or spot
     * @param  string  $instrument  the venue's own symbol, verbatim
     * @param  string  $positionSide  net; long or short in hedge mode of contracts
     * @param  string  $tradeId  the venue's id of this fill, verbatim
     * @param  string  $side  buy or sell
     * @param  string  $qty  in the venue's own unit, above zero, for example '0.125'
     * @param  string  $price  above zero, for example '64123.10'
     * @param  string|null  $fee  positive paid, negative rebate; null while it is not known
     * @param  string|null  $baseAsset  required for spot, as is quoteAsset
     * @param  int|null  $venueSeq  the venue's own running number
     * @param  int|null  $revision  a higher one corrects a lower one; 1 where it is left out
     * @param  string|null  $source  laravel, stream, sync or import
     * @param  string|null  $liquidity  maker or taker
     * @param  string|null  $kind  normal, liquidation, adl or settlement
     * @param  string|null  $realizedPnl  as the venue reports it
     */
    public function __construct(
        public int $accountId,
        public string $venue,
        public string $product,
        public string $instrument,
        public string $positionSide,
        public string $tradeId,
        public string $side,
        public mixed $qty,
        public mixed $price,
        public string $settleAsset,
        public int $executedAtMs,
        public ?string $orderId = null,
        public mixed $contractSize = null,
        public mixed $fee = null,
        public ?string $feeAsset = null,
        public ?string $baseAsset = null,
        public ?string $quoteAsset = null,
        public ?int $venueSeq = null,
        public ?int $revision = null,
        public ?string $source = null,
        public ?string $clientOrderId = null,
        public ?string $liquidity = null,
        public ?string $kind = null,
        public mixed $realizedPnl = null,
        public int|string|null $signalId = null,
        public ?string $strategy = null,
    ) {
        $this->toArray(); // a mistake shows here, not where the event is sent
    }

    public function key(): string
    {
        return (string) $this->accountId;
    }

    protected function happenedAtMs(): int
    {
        return $this->executedAtMs;
    }

    protected function body(): Body
    {
        $spot = $this->product === 'spot';

        return (new Body())
            ->account($this->accountId)
            ->text('venue', $this->venue, 32)
            ->oneOf('product', $this->product, ['linear', 'inverse', 'spot'])
            ->text('instrument', $this->instrument, 64)
            ->oneOf('position_side', $this->positionSide, $spot ? ['net'] : ['net', 'long', 'short'])
            ->text('trade_id', $this->tradeId, 128)
            ->text('order_id', $this->orderId, 128)
            ->oneOf('side', $this->side, ['buy', 'sell'])
            ->positive('qty', $this->qty)
            ->positive('price', $this->price)
            ->positive('contract_size', $this->contractSize)
            ->amount('fee', $this->fee)
            ->text('fee_asset', $this->feeAsset, 32)
            ->text('settle_asset', $this->settleAsset, 32)
            ->text('base_asset', $this->baseAsset, 32)
            ->text('quote_asset', $this->quoteAsset, 32)
            ->timeMs('executed_at_ms', $this->executedAtMs)
            ->integer('venue_seq', $this->venueSeq)
            ->integer('revision', $this->revision, 0, Body::U32_LIMIT)
            ->oneOf('source', $this->source, ['laravel', 'stream', 'sync', 'import'])
            ->text('client_order_id', $this->clientOrderId, 128)
            ->oneOf('liquidity', $this->liquidity, ['maker', 'taker'])
            ->oneOf('kind', $this->kind, ['normal', 'liquidation', 'adl', 'settlement'])
            ->amount('realized_pnl', $this->realizedPnl)
            ->textOrInteger('signal_id', $this->signalId, 191)
            ->text('strategy', $this->strategy, 191)
            ->required('qty', 'price')
            ->check(
                $this->fee === null || $this->feeAsset !== null,
                '`fee` comes without `fee_asset`; send both, or neither if not known',
            )
            ->check(
                ! $spot || ($this->baseAsset !== null && $this->quoteAsset !== null),
                'a spot position needs `base_asset` and `quote_asset`; send both',
            );
    }
}
