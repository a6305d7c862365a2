<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Doctor;

use Illuminate\Database\QueryException;
use Illuminate\Support\Str;
use Throwable;

/** One thing that was looked at. A cure is there exactly when it is not as it should be. */
final class Finding
{
    private const REASON_CHARACTERS = 300;

    private function __construct(public string $text, public ?string $cure = null)
    {
    }

    public static function good(string $text): self
    {
        return new self($text);
    }

    /** Why something failed, in the server's own words: Laravel's would quote the whole statement. */
    public static function reason(Throwable $error): string
    {
        $cause = $error instanceof QueryException ? $error->getPrevious() ?? $error : $error;

        return Str::limit($cause->getMessage(), self::REASON_CHARACTERS);
    }

    public static function bad(string $text, string $cure): self
    {
        return new self($text, $cure);
    }
}
