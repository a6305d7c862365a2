<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

/**
 * The venue moved money of an account, other than by the price of a trade.
 *
 * With `quoteAsset` a spot holding moves, too: what comes in enters at its `basis`, what goes out leaves at average
 * cost. What comes in without a basis does not enter; selling it counts as unknown_basis_qty.
 */
final class CashMoved extends Event
{
    public const TYPE = 'cash.moved.1';

    public const STREAM = 'orders';

    private const KINDS = [
        'funding', 'transfer_in', 'transfer_out', 'rebate', 'bonus', 'liquidation_fee', 'insurance', 'conversion',
        'interest', 'commission', 'realized', 'other',
    ];

    /**
     * @param  string  $amount  signed, + received, for example '-0.37812934'
     * @param  string  $kind  funding, transfer_in, transfer_out, rebate, bonus, liquidation_fee, insurance,
     *                        conversion, interest, commission, realized or other
     * @param  string  $venueType  the venue's own word for it, verbatim
     * @param  string  $ref  the venue's own id of this movement, verbatim
     * @param  string|null  $instrument  the position it belongs to (funding); '' or null where there is none
     * @param  string|null  $product  linear, inverse or spot; '' or null where there is none
     * @param  string|null  $quoteAsset  of the spot instrument whose holding moves
     * @param  string|null  $basis  cost of what came in, in the quote asset
     */
    public function __construct(
        public int $accountId,
        public string $venue,
        public string $asset,
        public mixed $amount,
        public string $kind,
        public string $venueType,
        public string $ref,
        public int $atMs,
        public ?string $instrument = null,
        public ?string $product = null,
        public ?string $quoteAsset = null,
        public mixed $basis = null,
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
            ->text('asset', $this->asset, 32)
            ->amount('amount', $this->amount)
            ->oneOf('kind', $this->kind, self::KINDS)
            ->text('venue_type', $this->venueType, 64)
            ->text('ref', $this->ref, 128)
            ->text('instrument', $this->instrument === '' ? null : $this->instrument, 64)
            ->oneOf('product', $this->product, ['linear', 'inverse', 'spot', ''])
            ->timeMs('at_ms', $this->atMs)
            ->text('quote_asset', $this->quoteAsset, 32)
            ->unsigned('basis', $this->basis)
            ->required('amount')
            ->check(
                $this->quoteAsset === null || ($this->product === 'spot' && ($this->instrument ?? '') !== ''),
                '`quote_asset` says that a spot holding moves; send `product` "spot" and its `instrument` with it, or '
                .'leave it out',
            )
            ->check(
                $this->basis === null || ($this->quoteAsset !== null && Body::sign($this->amount) > 0),
                '`basis` is the cost of what came in: send it with a positive `amount` and with `quote_asset`',
            );
    }
}
