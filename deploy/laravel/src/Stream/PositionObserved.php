<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

/** What an exchange says that an account holds, as of a watermark. It changes no position: the books are held to it. */
final class PositionObserved extends Event
{
    public const TYPE = 'position.observed.1';

    public const STREAM = 'orders';

    /**
     * @param  string  $product  linear, inverse or spot
     * @param  string  $instrument  the venue's own symbol, verbatim
     * @param  string  $positionSide  net; long or short in hedge mode of contracts
     * @param  string  $qty  in the venue's own unit, negative for a short, '0' when flat
     * @param  int  $watermarkMs  every fill up to and including this time is contained in it, none after
     * @param  string|null  $markPrice  kept as a price of that moment
     */
    public function __construct(
        public int $accountId,
        public string $venue,
        public string $product,
        public string $instrument,
        public string $positionSide,
        public mixed $qty,
        public int $watermarkMs,
        public mixed $entryPrice = null,
        public mixed $markPrice = null,
        public mixed $contractSize = null,
        public ?string $settleAsset = null,
    ) {
        $this->toArray(); // a mistake shows here, not where the event is sent
    }

    public function key(): string
    {
        return (string) $this->accountId;
    }

    protected function happenedAtMs(): int
    {
        return $this->watermarkMs;
    }

    protected function body(): Body
    {
        return (new Body())
            ->account($this->accountId)
            ->text('venue', $this->venue, 32)
            ->oneOf('product', $this->product, ['linear', 'inverse', 'spot'])
            ->text('instrument', $this->instrument, 64)
            ->oneOf('position_side', $this->positionSide, ['net', 'long', 'short'])
            ->amount('qty', $this->qty)
            ->timeMs('watermark_ms', $this->watermarkMs)
            ->unsigned('entry_price', $this->entryPrice)
            ->unsigned('mark_price', $this->markPrice)
            ->unsigned('contract_size', $this->contractSize)
            ->text('settle_asset', $this->settleAsset, 32)
            ->required('qty');
    }
}
