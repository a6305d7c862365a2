<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

/** What an exchange says that a wallet holds, as of a watermark. It changes no balance: the books are held to it. */
final class BalanceObserved extends Event
{
    public const TYPE = 'balance.observed.1';

    public const STREAM = 'orders';

    /**
     * @param  string  $wallet  without unrealized P&L (the `total` of ccxt has it)
     * @param  int  $watermarkMs  every movement up to and including this time is contained in it
     * @param  string|null  $product  linear, inverse or spot, where the venue keeps a wallet for each; '' or null for
     *                                one wallet
     */
    public function __construct(
        public int $accountId,
        public string $venue,
        public string $asset,
        public mixed $wallet,
        public int $watermarkMs,
        public ?string $product = null,
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
            ->text('asset', $this->asset, 32)
            ->amount('wallet', $this->wallet)
            ->timeMs('watermark_ms', $this->watermarkMs)
            ->oneOf('product', $this->product, ['linear', 'inverse', 'spot', ''])
            ->required('wallet');
    }
}
