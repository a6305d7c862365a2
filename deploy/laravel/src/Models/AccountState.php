<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

/**
 * Whether an account is synced, and whether its books lack an event.
 *
 * @property-read int $account_id
 * @property-read string $status
 * @property-read string|null $reason
 * @property-read \Carbon\CarbonImmutable|null $since
 * @property-read bool $incomplete
 */
final class AccountState extends FleetModel
{
    public const KEY = ['account_id'];

    public const TABLE = 'fleet_account_state';

    protected $casts = [
        'account_id' => 'integer',
        'since' => UtcDateTime::class,
        'incomplete' => 'boolean',
    ];
}
