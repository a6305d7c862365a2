<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Exceptions;

use RuntimeException;

/** A job failed in Python. The message is Python's own text, with its traceback where there is one. */
final class PythonJobFailed extends RuntimeException
{
    /** @param  string|null  $pythonClass  name of the exception there, for example `shared.errors.Unavailable` */
    public function __construct(string $message, private ?string $pythonClass = null)
    {
        parent::__construct($message);
    }

    public function pythonClass(): ?string
    {
        return $this->pythonClass;
    }
}
