<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

/**
 * What an account holds, and what it has realized since its first fill. qty and cost of a short are negative.
 *
 * @property-read int $account_id
 * @property-read string $venue
 * @property-read string $product
 * @property-read string $instrument
 * @property-read string $position_side
 * @property-read string $qty
 * @property-read string $cost
 * @property-read string|null $avg_entry
 * @property-read string $realized
 * @property-read string $settle_asset
 * @property-read string $unknown_basis_qty
 * @property-read \Carbon\CarbonImmutable $last_fill_at
 * @property-read int $version
 */
final class Position extends FleetModel
{
    public const KEY = ['account_id', 'product', 'instrument', 'position_side'];

    public const TABLE = 'fleet_positions';

    protected $casts = [
        'account_id' => 'integer',
        'fills' => 'integer',
        'last_fill_at' => UtcDateTime::class,
        'version' => 'integer',
    ];
}
