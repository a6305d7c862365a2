<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Exceptions;

use RuntimeException;

/** Something the package needs is not there yet; the message says how to get it. */
final class NotConfigured extends RuntimeException
{
}
