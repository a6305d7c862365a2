<?php

declare(strict_types=1);

namespace App\Providers;

use App\Jobs\Tell;
use Illuminate\Support\Facades\Event;
use Illuminate\Support\ServiceProvider;
use Tradefleet\Laravel\Events\AccountSuspended;
use Tradefleet\Laravel\Events\DayClosed;
use Tradefleet\Laravel\Events\DayRestated;
use Tradefleet\Laravel\Events\PositionDiverged;

/** What an application does with what the fleet found out; here it only says that it heard. */
class DeskServiceProvider extends ServiceProvider
{
    public function boot(): void
    {
        Event::listen(function (DayClosed $event): void {
            Tell::say("{$event->day} is closed for ".count($event->accountIds).' accounts');
        });
        Event::listen(function (DayRestated $event): void {
            Tell::say(count($event->days)." days of account {$event->accountId} have changed");
        });
        Event::listen(function (PositionDiverged $event): void {
            Tell::say("break {$event->breakId} is open");
        });
        Event::listen(function (AccountSuspended $event): void {
            Tell::say("account {$event->accountId} is suspended: {$event->reason}");
        });
    }
}
