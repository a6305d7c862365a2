<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Illuminate\Database\Query\Builder;
use Tradefleet\Laravel\Exceptions\ReadOnlyTable;

/** A query that only reads. Whatever Eloquent writes goes through one of these. */
final class RowQuery extends Builder
{
    public static function refusal(string $table): ReadOnlyTable
    {
        return new ReadOnlyTable(
            "{$table} is written by the fleet alone: send an event (Fleet::record), and it books it."
        );
    }

    public function insert(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function insertOrIgnore(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function insertOrIgnoreReturning(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function insertGetId(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function insertUsing(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function insertOrIgnoreUsing(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function update(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function updateFrom(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function updateOrInsert(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function upsert(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function increment(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function incrementEach(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function decrement(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function decrementEach(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function delete(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }

    public function truncate(mixed ...$arguments): mixed
    {
        throw self::refusal((string) $this->from);
    }
}
