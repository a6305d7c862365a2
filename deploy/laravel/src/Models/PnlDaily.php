<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Illuminate\Database\Eloquent\Builder;

/**
 * P&L of one UTC day, position and asset. fees are positive when paid, funding when received.
 *
 * @property-read int $account_id
 * @property-read string $product
 * @property-read string $instrument
 * @property-read string $day
 * @property-read string $asset
 * @property-read string $realized
 * @property-read string $fees
 * @property-read string $funding
 * @property-read string $other
 * @property-read int $fills
 */
final class PnlDaily extends FleetModel
{
    public const KEY = ['account_id', 'product', 'instrument', 'day', 'asset'];

    public const TABLE = 'fleet_pnl_daily';

    protected $casts = [
        'account_id' => 'integer',
        'fills' => 'integer',
        'version' => 'integer',
    ];

    /** UTC days, YYYY-MM-DD, both included. */
    public function scopeBetween(Builder $query, string $first, string $last): Builder
    {
        return $query->whereBetween('day', [$first, $last]);
    }
}
