<?php

declare(strict_types=1);

// Debian's packages bring their own autoloaders; with Composer this would be vendor/autoload.php.
require_once '/usr/share/php/Illuminate/autoload.php';

spl_autoload_register(static function (string $class): void {
    $folders = ['App\\' => 'app/', 'Tradefleet\\Laravel\\' => 'vendor/tradefleet/laravel/src/'];
    foreach ($folders as $namespace => $folder) {
        if (str_starts_with($class, $namespace)) {
            $file = dirname(__DIR__).'/'.$folder.str_replace('\\', '/', substr($class, strlen($namespace))).'.php';
            if (is_file($file)) {
                require_once $file;
            }
        }
    }
});
