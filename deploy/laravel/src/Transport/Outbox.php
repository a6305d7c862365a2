<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Transport;

use Illuminate\Database\ConnectionResolverInterface;
use Tradefleet\Laravel\Schema\FleetSchema;
use Tradefleet\Laravel\Stream\Entry;

/** Rows of `fleet_outbox`, through the default database connection: in the caller's own transaction, if one is open. */
final class Outbox
{
    /** Seven values a row; MySQL takes 65,535 in a statement, and 500 rows of the largest data are 32 MB. */
    private const ROWS_PER_INSERT = 500;

    public function __construct(private ConnectionResolverInterface $databases, private FleetSchema $schema)
    {
    }

    public function insert(Entry ...$entries): void
    {
        $connection = $this->databases->connection();
        $rows = array_map(static fn (Entry $entry): array => $entry->row(), array_values($entries));
        $chunks = array_chunk($rows, self::ROWS_PER_INSERT);
        $write = function () use ($connection, $chunks): void {
            foreach ($chunks as $chunk) {
                $connection->table($this->schema->table('fleet_outbox'))->insert($chunk);
            }
        };
        // One statement is whole or not at all by itself.
        count($chunks) > 1 ? $connection->transaction($write) : $write();
    }
}
