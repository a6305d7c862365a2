<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Exceptions;

use RuntimeException;

/** Redis answered with an error, for example because it is out of memory. */
final class RedisRefused extends RuntimeException
{
}
