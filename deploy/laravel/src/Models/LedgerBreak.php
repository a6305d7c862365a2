<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Illuminate\Database\Eloquent\Builder;

/**
 * Something that does not fit: two reports of one fill, or the books and the exchange. PositionDiverged names its id.
 *
 * @property-read int $id
 * @property-read string $kind
 * @property-read int|null $account_id
 * @property-read string $identity what it is about, JSON text
 * @property-read array $details
 * @property-read string|null $cause
 * @property-read string|null $expected
 * @property-read string|null $actual
 * @property-read \Carbon\CarbonImmutable $opened_at
 * @property-read \Carbon\CarbonImmutable|null $closed_at
 */
final class LedgerBreak extends FleetModel
{
    public const KEY = ['id'];

    public const TABLE = 'fleet_breaks';

    protected $casts = [
        'id' => 'integer',
        'account_id' => 'integer',
        'details' => 'array',
        'opened_at' => UtcDateTime::class,
        'closed_at' => UtcDateTime::class,
    ];

    public function scopeOpen(Builder $query): Builder
    {
        return $query->whereNull('closed_at');
    }
}
