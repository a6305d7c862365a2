<?php

declare(strict_types=1);

namespace Tradefleet\Laravel;

use Illuminate\Database\Events\TransactionBeginning;
use Illuminate\Support\ServiceProvider;
use Tradefleet\Laravel\Actor\CurrentActor;
use Tradefleet\Laravel\Transport\Streams;

final class FleetServiceProvider extends ServiceProvider
{
    /** What `fleet:install` copies into the application, by the tag of vendor:publish. */
    public const TAGS = ['fleet-config', 'fleet-migrations'];

    private const MIGRATIONS = [
        '2026_01_01_000001_create_fleet_outbox_table.php',
        '2026_01_01_000002_create_fleet_account_sources_view.php',
    ];

    public function register(): void
    {
        $this->mergeConfigFrom(__DIR__.'/../config/fleet.php', 'fleet');
        $this->app->singleton(Streams::class);
        $this->app->singleton(Producer::class, FleetProducer::class);
        $this->app->singleton(CurrentActor::class);
    }

    public function boot(): void
    {
        $this->app['events']->listen(TransactionBeginning::class, [CurrentActor::class, 'begun']);
        if (! $this->app->runningInConsole()) {
            return;
        }
        $this->publishes([__DIR__.'/../config/fleet.php' => $this->app->configPath('fleet.php')], 'fleet-config');
        foreach (self::MIGRATIONS as $name) {
            $this->publishes(
                [__DIR__."/../database/migrations/{$name}" => $this->app->databasePath("migrations/{$name}")],
                'fleet-migrations',
            );
        }
        $this->commands([
            Console\InstallCommand::class,
            Console\ExportCommand::class,
            Console\DoctorCommand::class,
            Console\StatusCommand::class,
        ]);
    }
}
