<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Models;

use Illuminate\Database\Eloquent\Builder;
use Illuminate\Database\Eloquent\Model;
use LogicException;
use Tradefleet\Laravel\Schema\FleetSchema;

/**
 * A table of the fleet, for reading. Every write throws: send an event instead, and the fleet books it.
 *
 * Amounts are strings with 18 decimals, for bcmath or brick/math: a float would lose digits. Times are in UTC.
 * A table prefix of the database connection is not supported.
 *
 * @method static Builder|static query()
 */
abstract class FleetModel extends Model
{
    /** Without the schema, which is config fleet.database. */
    public const TABLE = '';

    /** @var list<string> columns that together name a row */
    public const KEY = [];

    public $incrementing = false;

    public $timestamps = false;

    /** So that a write meets the sentence below, and not one about mass assignment. */
    protected $guarded = [];

    public function getTable(): string
    {
        return app(FleetSchema::class)->name().'.'.static::TABLE;
    }

    public function getKeyName(): ?string
    {
        return count(static::KEY) === 1 ? static::KEY[0] : null;
    }

    /** One text for a key of several columns, so that collections can tell rows apart. */
    public function getKey(): mixed
    {
        if (count(static::KEY) === 1) {
            return parent::getKey();
        }

        return json_encode(array_map(fn (string $column): mixed => $this->getRawOriginal($column), static::KEY));
    }

    public function getQualifiedKeyName(): string
    {
        if (count(static::KEY) === 1) {
            return parent::getQualifiedKeyName();
        }
        throw new LogicException(
            static::TABLE.' has no single key column but ('.implode(', ', static::KEY).'): use where() or a scope.'
        );
    }

    /** @param  array<string, mixed>  $options */
    public function save(array $options = []): bool
    {
        throw RowQuery::refusal($this->getTable());
    }

    public function delete(): ?bool
    {
        throw RowQuery::refusal($this->getTable());
    }

    /** @param  mixed  $ids */
    public static function destroy($ids): int
    {
        throw RowQuery::refusal((new static())->getTable());
    }

    /** @param  \Illuminate\Database\Query\Builder  $query */
    public function newEloquentBuilder($query): RowBuilder
    {
        return new RowBuilder($query);
    }

    /** Rows of one account, in the tables that have any. */
    public function scopeForAccount(Builder $query, int $accountId): Builder
    {
        return $query->where('account_id', $accountId);
    }

    protected function newBaseQueryBuilder(): RowQuery
    {
        $connection = $this->getConnection();

        return new RowQuery($connection, $connection->getQueryGrammar(), $connection->getPostProcessor());
    }

    /**
     * For fresh() and refresh().
     *
     * @param  Builder  $query
     */
    protected function setKeysForSelectQuery($query): Builder
    {
        foreach (static::KEY as $column) {
            $query->where($column, $this->getRawOriginal($column));
        }

        return $query;
    }

    /** @param  Builder  $query */
    protected function setKeysForSaveQuery($query): Builder
    {
        return $this->setKeysForSelectQuery($query);
    }
}
