<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Events;

/** A UTC day is closed for these accounts: their daily P&L is final unless it is restated. */
final class DayClosed
{
    /**
     * @param  string  $day  the UTC day, YYYY-MM-DD
     * @param  list<int>  $accountIds  500 at most; a day's end is as many events as it takes
     */
    public function __construct(public string $day, public array $accountIds)
    {
    }
}
