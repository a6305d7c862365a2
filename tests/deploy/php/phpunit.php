<?php

// The one assertion of PHPUnit that the package uses; PHPUnit itself is not on the servers.

declare(strict_types=1);

namespace PHPUnit\Framework;

class AssertionFailedError extends \Exception
{
}

abstract class Assert
{
    final public static function assertTrue(mixed $condition, string $message = ''): void
    {
        if ($condition !== true) {
            throw new AssertionFailedError($message);
        }
    }
}
