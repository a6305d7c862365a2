<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Exceptions;

use InvalidArgumentException;

/** The fleet would park this event; the message says what to send instead. */
final class InvalidEvent extends InvalidArgumentException
{
}
