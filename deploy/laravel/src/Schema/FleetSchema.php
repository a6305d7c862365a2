<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Schema;

use Illuminate\Contracts\Config\Repository as Config;
use Illuminate\Database\ConnectionResolverInterface;
use Illuminate\Database\Query\Expression;

/** Where the fleet's tables are: a schema on the application's own server. */
final class FleetSchema
{
    public function __construct(private Config $config, private ConnectionResolverInterface $databases)
    {
    }

    public function name(): string
    {
        return (string) ($this->config->get('fleet.database') ?: $this->databases->connection()->getDatabaseName());
    }

    /** A table for the query builder. As an expression, because a table prefix is Laravel's and not ours. */
    public function table(string $table): Expression
    {
        return new Expression($this->quoted($table));
    }

    public function quoted(string $table): string
    {
        return self::quote($this->name()).'.'.self::quote($table);
    }

    public static function quote(string $name): string
    {
        return '`'.str_replace('`', '``', $name).'`';
    }
}
