<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

/** The venue refused an order; `reason` is in its words. */
final class OrderRejected extends OrderReport
{
    public const TYPE = 'order.rejected.1';
}
