<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

/** The venue ended an order before it was filled (wholly). */
final class OrderCanceled extends OrderReport
{
    public const TYPE = 'order.canceled.1';
}
