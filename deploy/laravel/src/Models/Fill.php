<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

/**
 * A fill, merged from all its reports.
 *
 * @property-read int $account_id
 * @property-read string $venue
 * @property-read string $product
 * @property-read string $instrument
 * @property-read string $position_side
 * @property-read string $trade_id
 * @property-read string $side
 * @property-read string $qty
 * @property-read string $price
 * @property-read string $contract_size
 * @property-read string $value
 * @property-read string|null $fee
 * @property-read string|null $fee_asset
 * @property-read string $settle_asset
 * @property-read \Carbon\CarbonImmutable $executed_at
 */
final class Fill extends FleetModel
{
    public const KEY = ['account_id', 'product', 'instrument', 'trade_id', 'side'];

    public const TABLE = 'fleet_fills';

    protected $casts = [
        'account_id' => 'integer',
        'executed_at' => UtcDateTime::class,
        'executed_at_ms' => 'integer',
        'venue_seq' => 'integer',
        'revision' => 'integer',
        'reports' => 'integer',
    ];
}
