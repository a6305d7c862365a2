<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Exceptions;

use LogicException;

/** Somebody tried to write a table that only the fleet writes. */
final class ReadOnlyTable extends LogicException
{
}
