<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Illuminate\Database\Eloquent\Builder;

/**
 * Figures of a closed day as they stood before something late changed them; what stands now is in PnlDaily.
 *
 * Rows of one batch came in one transaction. version 0: the day had no row before.
 *
 * @property-read int $id
 * @property-read string $batch
 * @property-read int $account_id
 * @property-read string $product
 * @property-read string $instrument
 * @property-read string $day
 * @property-read string $asset
 * @property-read int $version
 * @property-read string $realized
 * @property-read string $fees
 * @property-read string $funding
 * @property-read string $other
 * @property-read int $fills
 * @property-read array $cause identities of what came late: {identities, more?}
 * @property-read \Carbon\CarbonImmutable $restated_at
 * @property-read \Carbon\CarbonImmutable|null $announced_at
 */
final class Restatement extends FleetModel
{
    public const KEY = ['id'];

    public const TABLE = 'fleet_restatements';

    protected $casts = [
        'id' => 'integer',
        'account_id' => 'integer',
        'version' => 'integer',
        'fills' => 'integer',
        'cause' => 'array',
        'restated_at' => UtcDateTime::class,
        'announced_at' => UtcDateTime::class,
    ];

    /** UTC days, YYYY-MM-DD, both included. */
    public function scopeBetween(Builder $query, string $first, string $last): Builder
    {
        return $query->whereBetween('day', [$first, $last]);
    }
}
