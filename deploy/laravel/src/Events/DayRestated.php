<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Events;

/** Something late has changed closed days of an account: read their daily P&L again. */
final class DayRestated
{
    /**
     * @param  list<string>  $days  UTC days, YYYY-MM-DD, in order; where there are 100, later ones may have changed too
     * @param  list<string>  $causes  identities of what came late, JSON text each, 20 at most
     */
    public function __construct(public int $accountId, public array $days, public array $causes)
    {
    }
}
