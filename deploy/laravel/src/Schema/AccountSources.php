<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Schema;

use Illuminate\Contracts\Config\Repository as Config;
use Illuminate\Database\ConnectionResolverInterface;
use Tradefleet\Laravel\Exceptions\NotConfigured;

/**
 * The view `fleet_account_sources`: the application's own accounts under the names the fleet reads.
 *
 * SQL SECURITY INVOKER, so that the view opens nothing: its reader needs grants on the table behind it.
 */
final class AccountSources
{
    public const VIEW = 'fleet_account_sources';

    public const COLUMNS = [
        'id', 'user_id', 'venue', 'product', 'api_key', 'api_secret', 'passphrase', 'settings', 'active',
    ];

    /** Without these there is no account to sync. */
    private const NEEDED = ['id', 'user_id', 'venue', 'product', 'api_key', 'api_secret'];

    public function __construct(
        private Config $config,
        private ConnectionResolverInterface $databases,
        private FleetSchema $schema,
    ) {
    }

    public function createStatement(): string
    {
        $columns = implode(', ', array_map(
            fn (string $name): string => $this->source($name).' AS '.FleetSchema::quote($name),
            self::COLUMNS,
        ));

        return "CREATE OR REPLACE SQL SECURITY INVOKER VIEW {$this->schema->quoted(self::VIEW)} AS "
            ."SELECT {$columns} FROM {$this->table()}";
    }

    public function dropStatement(): string
    {
        return "DROP VIEW IF EXISTS {$this->schema->quoted(self::VIEW)}";
    }

    /** A column's name, SQL in parentheses, or null: then every account is active and has no more of it. */
    private function source(string $name): string
    {
        $source = $this->config->get("fleet.accounts.columns.{$name}");
        if ($source === null && in_array($name, self::NEEDED, true)) {
            throw new NotConfigured(
                "config/fleet.php: accounts.columns.{$name} is missing; write a column of the accounts table, or SQL "
                .'in parentheses.'
            );
        }
        if ($source === null) {
            return $name === 'active' ? '1' : 'NULL';
        }

        return str_starts_with($source, '(') ? $source : FleetSchema::quote($source);
    }

    private function table(): string
    {
        $connection = $this->databases->connection();
        $table = (string) $this->config->get('fleet.accounts.table');
        $parts = str_contains($table, '.')
            ? explode('.', $table, 2)
            : [$connection->getDatabaseName(), $connection->getTablePrefix().$table];

        return implode('.', array_map([FleetSchema::class, 'quote'], $parts));
    }
}
