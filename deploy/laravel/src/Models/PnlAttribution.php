<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Illuminate\Database\Eloquent\Builder;

/**
 * A part of a row of PnlDaily, by what caused it: the parts of a day, instrument and asset sum to that row.
 *
 * bucket: signal, strategy, order, manual (traded at the exchange itself) or cash. strategy and signal_id are '' where
 * there is none.
 *
 * @property-read int $account_id
 * @property-read string $product
 * @property-read string $instrument
 * @property-read string $day
 * @property-read string $asset
 * @property-read string $bucket
 * @property-read string $strategy
 * @property-read string $signal_id
 * @property-read string $realized
 * @property-read string $fees
 * @property-read string $funding
 * @property-read string $other
 * @property-read int $fills
 */
final class PnlAttribution extends FleetModel
{
    public const KEY = ['account_id', 'product', 'instrument', 'day', 'asset', 'bucket', 'strategy', 'signal_id'];

    public const TABLE = 'fleet_pnl_attribution';

    protected $casts = [
        'account_id' => 'integer',
        'fills' => 'integer',
    ];

    public function scopeForSignal(Builder $query, int|string $signalId): Builder
    {
        return $query->where('signal_id', (string) $signalId);
    }

    public function scopeForStrategy(Builder $query, string $strategy): Builder
    {
        return $query->where('strategy', $strategy);
    }

    /** UTC days, YYYY-MM-DD, both included. */
    public function scopeBetween(Builder $query, string $first, string $last): Builder
    {
        return $query->whereBetween('day', [$first, $last]);
    }
}
