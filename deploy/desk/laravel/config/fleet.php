<?php

declare(strict_types=1);

// The schema in which Tradefleet's tables live, on the application's own server.
return ['database' => env('FLEET_DB_DATABASE', env('DB_DATABASE', 'forge'))];
