<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Carbon\CarbonImmutable;
use Illuminate\Contracts\Database\Eloquent\CastsAttributes;

/** The fleet's times are in UTC, whatever the application's time zone. */
final class UtcDateTime implements CastsAttributes
{
    public function get($model, string $key, $value, array $attributes): ?CarbonImmutable
    {
        return $value === null ? null : CarbonImmutable::parse($value, 'UTC');
    }

    public function set($model, string $key, $value, array $attributes): mixed
    {
        return $value;
    }
}
