<?php

declare(strict_types=1);

use Illuminate\Support\Str;

return [
    // CACHE_STORE is what Laravel 11 and later call CACHE_DRIVER.
    'default' => env('CACHE_STORE', env('CACHE_DRIVER', 'redis')),
    'stores' => [
        'array' => ['driver' => 'array', 'serialize' => false],
        'redis' => ['driver' => 'redis', 'connection' => 'cache', 'lock_connection' => 'default'],
        'database' => ['driver' => 'database', 'table' => 'cache', 'lock_table' => 'cache_locks', 'connection' => null],
        'file' => ['driver' => 'file', 'path' => storage_path('framework/cache/data')],
    ],
    'prefix' => env('CACHE_PREFIX', Str::slug((string) env('APP_NAME', 'laravel'), '_').'_cache_'),
];
