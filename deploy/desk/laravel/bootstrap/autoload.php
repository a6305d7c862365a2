<?php

declare(strict_types=1);

// Debian's packages bring their own autoloaders; with Composer this would be vendor/autoload.php.
require_once '/usr/share/php/Illuminate/autoload.php';

spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'App\\')) {
        $file = dirname(__DIR__).'/app/'.str_replace('\\', '/', substr($class, 4)).'.php';
        if (is_file($file)) {
            require_once $file;
        }
    }
});
