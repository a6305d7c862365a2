<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

/**
 * What an account holds at a moment before which its past is unknown: from then on the position is this.
 *
 * Tell its cost by `entryPrice` or by `cost`; neither is needed where `qty` is zero.
 */
final class PositionOpened extends Event
{
    public const TYPE = 'position.opened.1';

    public const STREAM = 'orders';

    /**
     * @param  string  $product  linear, inverse or spot
     * @param  string  $instrument  the venue's own symbol, verbatim
     * @param  string  $positionSide  net; long or short in hedge mode of contracts
     * @param  string  $ref  your own id of this opening
     * @param  string  $qty  in the venue's own unit, negative for a short, for example '-0.125'
     * @param  int  $atMs  fills up to and including this millisecond are contained in it
     * @param  string|null  $entryPrice  above zero, for example '64123.10'
     * @param  string|null  $cost  in the settle asset, without a sign
     * @param  string|null  $baseAsset  required for spot, as is quoteAsset
     */
    public function __construct(
        public int $accountId,
        public string $venue,
        public string $product,
        public string $instrument,
        public string $positionSide,
        public string $ref,
        public mixed $qty,
        public string $settleAsset,
        public int $atMs,
        public mixed $entryPrice = null,
        public mixed $cost = null,
        public mixed $contractSize = null,
        public ?string $baseAsset = null,
        public ?string $quoteAsset = null,
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
        $spot = $this->product === 'spot';

        return (new Body())
            ->account($this->accountId)
            ->text('venue', $this->venue, 32)
            ->oneOf('product', $this->product, ['linear', 'inverse', 'spot'])
            ->text('instrument', $this->instrument, 64)
            ->oneOf('position_side', $this->positionSide, $spot ? ['net'] : ['net', 'long', 'short'])
            ->text('ref', $this->ref, 128)
            ->amount('qty', $this->qty)
            ->positive('entry_price', $this->entryPrice)
            ->unsigned('cost', $this->cost)
            ->positive('contract_size', $this->contractSize)
            ->text('settle_asset', $this->settleAsset, 32)
            ->text('base_asset', $this->baseAsset, 32)
            ->text('quote_asset', $this->quoteAsset, 32)
            ->timeMs('at_ms', $this->atMs)
            ->required('qty')
            ->check(
                Body::sign($this->qty) === 0 || ($this->entryPrice === null) !== ($this->cost === null),
                'an opening tells its cost by `entry_price` or by `cost`; send one of them',
            )
            ->check(
                ! in_array(Body::sign($this->qty), $this->wrongSigns(), true),
                '`qty` is negative for a short and positive otherwise; it contradicts the product or `position_side`',
            )
            ->check(
                ! $spot || ($this->baseAsset !== null && $this->quoteAsset !== null),
                'a spot position needs `base_asset` and `quote_asset`; send both',
            );
    }

    /** @return list<int> */
    private function wrongSigns(): array
    {
        if ($this->positionSide === 'short') {
            return [1];
        }

        return $this->positionSide === 'long' || $this->product === 'spot' ? [-1] : [];
    }
}
