<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Console;

use Illuminate\Console\Command;
use Tradefleet\Laravel\FleetServiceProvider;

final class InstallCommand extends Command
{
    protected $signature = 'fleet:install';

    protected $description = 'Copy config/fleet.php and the migrations into the application; what is there stays';

    public function handle(): int
    {
        foreach (FleetServiceProvider::TAGS as $tag) {
            $this->callSilent('vendor:publish', ['--tag' => $tag]);
        }
        $this->line('config/fleet.php and two migrations are in place. What is left:');
        $this->line('  1. In .env: FLEET_DB_DATABASE=fleet (a schema of its own, on the same MySQL server).');
        $this->line('     In config/fleet.php: where your exchange accounts are (table and columns).');
        $this->line('  2. php artisan migrate');
        $this->line('  3. fleet laravel jobs --out app/Jobs/Fleet   (on the fleet\'s side; writes the job classes)');
        $this->line('  4. php artisan fleet:export   (again after every change of .env or config)');
        $this->line('  5. Start the fleet, and a worker for its events:');
        ['connection' => $connection, 'events_queue' => $queue] = config('fleet');
        $this->line("     php artisan queue:work {$connection} --queue={$queue},default");
        $this->line('  6. php artisan fleet:doctor');

        return self::SUCCESS;
    }
}
