<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

/**
 * A UTC day that is closed: whatever changes its figures from then on leaves a Restatement.
 *
 * @property-read string $day
 * @property-read \Carbon\CarbonImmutable $closed_at
 * @property-read int $grace_seconds
 * @property-read int $accounts
 */
final class ClosedDay extends FleetModel
{
    public const KEY = ['day'];

    public const TABLE = 'fleet_closed_days';

    protected $keyType = 'string';

    protected $casts = [
        'closed_at' => UtcDateTime::class,
        'grace_seconds' => 'integer',
        'accounts' => 'integer',
    ];
}
