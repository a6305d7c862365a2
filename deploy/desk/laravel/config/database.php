<?php

declare(strict_types=1);

use Illuminate\Support\Str;

$redis = [
    'host' => env('REDIS_HOST', '127.0.0.1'),
    'username' => env('REDIS_USERNAME'),
    'password' => env('REDIS_PASSWORD'),
    'port' => env('REDIS_PORT', '6379'),
    'name' => env('REDIS_NAME'),
];

// phpredis' own constants, only where a test asks for them.
$packing = array_filter(['serializer' => (int) env('REDIS_SERIALIZER', 0), 'compression' => (int) env('REDIS_COMPRESSION', 0)]);

return [
    'default' => env('DB_CONNECTION', 'mysql'),
    'connections' => [
        'mysql' => [
            'driver' => 'mysql',
            'url' => env('DB_URL', env('DATABASE_URL')),
            'host' => env('DB_HOST', '127.0.0.1'),
            'port' => env('DB_PORT', '3306'),
            'database' => env('DB_DATABASE', 'forge'),
            'username' => env('DB_USERNAME', 'forge'),
            'password' => env('DB_PASSWORD', ''),
            'charset' => 'utf8mb4',
            'collation' => 'utf8mb4_unicode_ci',
            'prefix' => '',
            'strict' => true,
        ],
    ],
    'migrations' => 'migrations',
    'redis' => [
        'client' => env('REDIS_CLIENT', 'phpredis'),
        'options' => [
            'cluster' => env('REDIS_CLUSTER', 'redis'),
            // Underscores as in applications begun before Laravel 12.1, on either version.
            'prefix' => env('REDIS_PREFIX', Str::slug((string) env('APP_NAME', 'laravel'), '_').'_database_'),
        ],
        'default' => [...$redis, ...$packing, 'database' => env('REDIS_DB', '0')],
        'cache' => [...$redis, 'database' => env('REDIS_CACHE_DB', '1')],
    ],
];
