<?php

declare(strict_types=1);

namespace App\Console;

use Illuminate\Foundation\Console\Kernel as ConsoleKernel;

class Kernel extends ConsoleKernel
{
    /** @var array<int, class-string> */
    protected $commands = [
        Commands\DeskAccounts::class,
        Commands\DeskDispatch::class,
        Commands\DeskFeed::class,
    ];
}
