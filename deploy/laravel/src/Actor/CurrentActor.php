<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Actor;

use Illuminate\Contracts\Container\Container;
use Illuminate\Database\ConnectionResolverInterface;
use Illuminate\Database\Events\TransactionBeginning;
use Tradefleet\Laravel\Producer;

/** Who is at work in this process. While it is somebody, every transaction says so. */
final class CurrentActor
{
    private ?string $actor = null;

    private string $requestId = '';

    public function __construct(private Container $container, private ConnectionResolverInterface $databases)
    {
    }

    public function is(?string $actor, string $requestId = ''): void
    {
        $this->actor = $actor;
        $this->requestId = $requestId;
    }

    /** Of the connection that the tables are on; a savepoint is no transaction of its own. */
    public function begun(TransactionBeginning $event): void
    {
        $connection = $event->connection;
        if ($this->actor === null || $connection !== $this->databases->connection()) {
            return;
        }
        if ($connection->transactionLevel() === 1) {
            $this->container->make(Producer::class)->actor($this->actor, $this->requestId);
        }
    }
}
