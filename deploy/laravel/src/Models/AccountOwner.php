<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Illuminate\Database\Eloquent\Builder;

/**
 * Whose an account's P&L is from a UTC day on, until the next row of the account.
 *
 * @property-read int $account_id
 * @property-read string $valid_from
 * @property-read int $user_id
 * @property-read string $source laravel or operator
 */
final class AccountOwner extends FleetModel
{
    public const KEY = ['account_id', 'valid_from'];

    public const TABLE = 'fleet_account_owners';

    protected $casts = [
        'account_id' => 'integer',
        'user_id' => 'integer',
    ];

    public function scopeForUser(Builder $query, int $userId): Builder
    {
        return $query->where('user_id', $userId);
    }
}
