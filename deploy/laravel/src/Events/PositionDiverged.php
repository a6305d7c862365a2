<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Events;

/** The fleet's books and the exchange disagree. */
final class PositionDiverged
{
    /** @param  int  $breakId  id in fleet_breaks, which says where */
    public function __construct(public int $breakId)
    {
    }
}
