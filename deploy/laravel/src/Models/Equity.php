<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

/**
 * What an account was worth at a moment, per asset: a snapshot with the prices of that moment.
 *
 * cash has everything that is realized, and spot holdings at cost. unrealized is null where a position could not be
 * priced (unpriceable counts them). flows: what came from outside since the first of them, net, which is no gain; null
 * where one of them cannot be valued.
 *
 * @property-read int $account_id
 * @property-read string $asset
 * @property-read \Carbon\CarbonImmutable $at
 * @property-read string $cash
 * @property-read string|null $unrealized
 * @property-read string|null $flows
 * @property-read int $unpriceable
 * @property-read \Carbon\CarbonImmutable|null $oldest_price_at
 * @property-read \Carbon\CarbonImmutable $written_at
 */
final class Equity extends FleetModel
{
    public const KEY = ['account_id', 'asset', 'at'];

    public const TABLE = 'fleet_equity';

    protected $casts = [
        'account_id' => 'integer',
        'at' => UtcDateTime::class,
        'unpriceable' => 'integer',
        'oldest_price_at' => UtcDateTime::class,
        'written_at' => UtcDateTime::class,
    ];
}
