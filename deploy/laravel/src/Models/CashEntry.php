<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

/**
 * A movement of money other than by the price of a trade.
 *
 * @property-read int $account_id
 * @property-read string $venue
 * @property-read string $asset
 * @property-read string $amount
 * @property-read string $kind
 * @property-read string $venue_type
 * @property-read string $ref
 * @property-read string $instrument
 * @property-read string $product
 * @property-read \Carbon\CarbonImmutable $at
 * @property-read string|null $quote_asset
 * @property-read string|null $basis
 */
final class CashEntry extends FleetModel
{
    public const KEY = ['account_id', 'venue_type', 'ref', 'asset', 'instrument'];

    public const TABLE = 'fleet_cash_entries';

    protected $casts = [
        'account_id' => 'integer',
        'at' => UtcDateTime::class,
        'at_ms' => 'integer',
    ];
}
