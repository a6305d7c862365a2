<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Exceptions;

use LogicException;

/** What holds for a transaction was said outside of one. */
final class NoTransaction extends LogicException
{
}
