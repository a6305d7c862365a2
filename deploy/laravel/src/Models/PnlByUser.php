<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Illuminate\Database\Eloquent\Builder;

/**
 * P&L of all accounts of a user, per UTC day and asset.
 *
 * @property-read int $user_id
 * @property-read string $day
 * @property-read string $asset
 * @property-read string $realized
 * @property-read string $fees
 * @property-read string $funding
 * @property-read string $other
 * @property-read int $fills
 */
final class PnlByUser extends FleetModel
{
    public const KEY = ['user_id', 'day', 'asset'];

    public const TABLE = 'fleet_pnl_by_user';

    protected $casts = [
        'user_id' => 'integer',
        'fills' => 'integer',
    ];

    /** The number stands in the statement: MariaDB reads everybody's rows where it is a placeholder. */
    public function scopeForUser(Builder $query, int $userId): Builder
    {
        return $query->whereIntegerInRaw('user_id', [$userId]);
    }

    /** UTC days, YYYY-MM-DD, both included. */
    public function scopeBetween(Builder $query, string $first, string $last): Builder
    {
        return $query->whereBetween('day', [$first, $last]);
    }
}
