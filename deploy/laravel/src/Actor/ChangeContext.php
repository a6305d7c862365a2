<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Actor;

use Illuminate\Database\ConnectionResolverInterface;
use InvalidArgumentException;
use Tradefleet\Laravel\Exceptions\NoTransaction;
use Tradefleet\Laravel\Schema\FleetSchema;

/** Rows of `fleet_change_context`: who is behind the transaction that such a row stands in. */
final class ChangeContext
{
    private const ACTOR_LETTERS = 190;

    private const REQUEST_LETTERS = 128;

    public function __construct(private ConnectionResolverInterface $databases, private FleetSchema $schema)
    {
    }

    public function insert(string $actor, string $requestId): void
    {
        $connection = $this->databases->connection();
        if ($connection->transactionLevel() === 0) {
            throw new NoTransaction(
                'Fleet::actor() names who is behind a transaction, and none is open: call it inside DB::transaction()'
            );
        }
        if ($actor === '' || mb_strlen($actor) > self::ACTOR_LETTERS || mb_strlen($requestId) > self::REQUEST_LETTERS) {
            throw new InvalidArgumentException(
                'an actor has 1 to 190 letters, for example user:42, and the id of a request at most 128'
            );
        }
        $connection->table($this->schema->table('fleet_change_context'))->insert([
            'actor' => $actor,
            'request_id' => $requestId,
        ]);
    }
}
