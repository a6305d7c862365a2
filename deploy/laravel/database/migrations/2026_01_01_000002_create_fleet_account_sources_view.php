<?php

declare(strict_types=1);

use Illuminate\Database\Migrations\Migration;
use Illuminate\Support\Facades\DB;
use Tradefleet\Laravel\Schema\AccountSources;

/** The application's accounts as the fleet reads them, by the column map in config/fleet.php. */
return new class() extends Migration {
    public function up(): void
    {
        DB::statement(app(AccountSources::class)->createStatement());
    }

    public function down(): void
    {
        DB::statement(app(AccountSources::class)->dropStatement());
    }
};
