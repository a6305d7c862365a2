<?php

declare(strict_types=1);

// After a change here or in .env: php artisan fleet:export, then restart the fleet.
return [
    // MySQL schema of the fleet's tables, on the application's own server. A schema of its own is
    // recommended: `migrate:fresh` drops everything it finds in the application's.
    'database' => env('FLEET_DB_DATABASE', env('DB_DATABASE')),

    // A queue connection of config/queue.php whose driver is redis.
    'connection' => env('FLEET_LARAVEL_CONNECTION', 'redis'),

    // Queues that the Python workers consume, comma separated. The first one takes the package's own jobs.
    'queues' => env('FLEET_QUEUES', 'fleet'),
    'queue' => trim(explode(',', (string) env('FLEET_QUEUES', 'fleet'))[0]),

    // Queue for jobs towards Laravel: php artisan queue:work redis --queue=fleet-events,default
    'events_queue' => env('FLEET_EVENTS_QUEUE', 'fleet-events'),

    // Only where the streams do not live in the Redis of the queue: redis://user:password@host:6379/0
    'streams_redis_url' => env('FLEET_STREAMS_REDIS_URL'),

    // Where the application keeps its exchange accounts. The view `fleet_account_sources` reads them there.
    // A column's name; null where there is none; or SQL in parentheses: "('binance')", "(deleted_at IS NULL)".
    'accounts' => [
        'table' => 'exchange_accounts',
        'columns' => [
            'id' => 'id',
            'user_id' => 'user_id',
            'venue' => 'venue',
            'product' => 'product',
            // These three with Laravel's `encrypted` cast.
            'api_key' => 'api_key',
            'api_secret' => 'api_secret',
            'passphrase' => 'passphrase',
            'settings' => 'settings',
            'active' => 'active',
        ],
    ],
];
