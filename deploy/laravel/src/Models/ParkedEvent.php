<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Illuminate\Database\Eloquent\Builder;

/**
 * An event that the fleet could not book, with the reason. event_key, type and data are bytes as they came.
 *
 * @property-read string $stream
 * @property-read int $partition_no
 * @property-read string $entry_id
 * @property-read string $event_key
 * @property-read string $type
 * @property-read string $data
 * @property-read int|null $account_id
 * @property-read string $reason
 * @property-read string $error
 * @property-read int $tries
 * @property-read \Carbon\CarbonImmutable $parked_at
 * @property-read string|null $resolution
 * @property-read \Carbon\CarbonImmutable|null $resolved_at
 */
final class ParkedEvent extends FleetModel
{
    public const KEY = ['stream', 'partition_no', 'entry_id'];

    public const TABLE = 'fleet_parked';

    protected $casts = [
        'partition_no' => 'integer',
        'account_id' => 'integer',
        'tries' => 'integer',
        'parked_at' => UtcDateTime::class,
        'resolved_at' => UtcDateTime::class,
    ];

    /** Neither replayed, superseded nor skipped yet. */
    public function scopeOpen(Builder $query): Builder
    {
        return $query->whereNull('resolution');
    }
}
