<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

/** An order stands at the venue, or was sent to it. */
final class OrderPlaced extends OrderReport
{
    public const TYPE = 'order.placed.1';
}
