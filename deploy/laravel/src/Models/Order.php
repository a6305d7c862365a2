<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

/**
 * The present state of an order: placed, filled, canceled or rejected.
 *
 * @property-read int $account_id
 * @property-read string $venue
 * @property-read string $product
 * @property-read string $instrument
 * @property-read string|null $order_id
 * @property-read string|null $client_order_id
 * @property-read string $state
 * @property-read int $state_at_ms
 * @property-read string|null $side
 * @property-read string|null $order_type
 * @property-read string|null $qty
 * @property-read string|null $price
 * @property-read string|null $stop_price
 * @property-read bool|null $reduce_only
 * @property-read string|null $reason
 */
final class Order extends FleetModel
{
    public const KEY = ['account_id', 'product', 'instrument', 'order_key'];

    public const TABLE = 'fleet_orders';

    protected $casts = [
        'account_id' => 'integer',
        'state_at_ms' => 'integer',
        'reduce_only' => 'boolean',
    ];
}
