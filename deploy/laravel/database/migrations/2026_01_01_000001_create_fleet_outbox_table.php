<?php

declare(strict_types=1);

use Illuminate\Database\Migrations\Migration;
use Illuminate\Support\Facades\DB;
use Tradefleet\Laravel\Schema\FleetSchema;

/** The table that `Fleet::record()` writes; `fleet migrate` makes the same one, whichever comes first. */
return new class() extends Migration {
    public function up(): void
    {
        $table = app(FleetSchema::class)->quoted('fleet_outbox');
        DB::statement(<<<SQL
            CREATE TABLE IF NOT EXISTS {$table} (
              id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
              stream        VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
              type          VARCHAR(64)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
              event_key     VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
              event_id      VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
              ts_us         BIGINT UNSIGNED NOT NULL,
              data          MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
              traceparent   VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NULL,
              created_at    DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
              state         TINYINT UNSIGNED NOT NULL DEFAULT 0,
              partition_no  SMALLINT UNSIGNED NULL,
              sends         INT UNSIGNED NOT NULL DEFAULT 0,
              sent_at       DATETIME(6)  NULL,
              confirmed_at  DATETIME(6)  NULL,
              KEY fleet_outbox_state (state, id)
            ) ENGINE=InnoDB
            SQL);
    }

    public function down(): void
    {
        // Stays: it may hold events that the fleet has not sent yet, and the other tables are the fleet's.
    }
};
