<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Transport;

use Illuminate\Redis\Connections\Connection;
use Predis\Command\RawCommand;
use Predis\Response\ErrorInterface;
use RedisCluster;
use Tradefleet\Laravel\Exceptions\RedisRefused;

/**
 * Raw commands through phpredis or Predis: keys as they are, so the caller puts the prefix before them.
 *
 * Both clients would otherwise need to know each command, and Predis 1 knows no streams.
 */
final class RedisCommands
{
    public function __construct(private Connection $connection)
    {
    }

    /**
     * All in one round trip (on a phpredis cluster one by one).
     *
     * @param  list<list<string>>  $commands  each with its key second: ['XADD', 'streams:{orders:3}', '*', …]
     * @return list<mixed> a reply each; RedisRefused, not thrown, where Redis refused that one
     */
    public function run(array $commands): array
    {
        if ($commands === []) {
            return [];
        }
        $client = $this->connection->client();
        if ($client instanceof RedisCluster) {
            return array_map(fn (array $command): mixed => $this->onCluster($client, $command), $commands);
        }

        return $client instanceof \Redis ? $this->onPhpRedis($client, $commands) : $this->onPredis($client, $commands);
    }

    /** @param  list<string>  $command */
    public function one(array $command): mixed
    {
        $reply = $this->run([$command])[0];
        if ($reply instanceof RedisRefused) {
            throw $reply;
        }

        return $reply;
    }

    /**
     * @param  list<list<string>>  $commands
     * @return list<mixed>
     */
    private function onPhpRedis(\Redis $client, array $commands): array
    {
        $client->clearLastError();
        $pipeline = $client->pipeline();
        foreach ($commands as $command) {
            $pipeline->rawCommand(...$command);
        }
        $replies = $pipeline->exec();
        if (! is_array($replies)) {
            throw new RedisRefused('Redis did not answer: '.($client->getLastError() ?? 'no reason given'));
        }

        // phpredis says false for an error and for nil, and keeps the last error's text only.
        return array_map(fn (mixed $reply): mixed => self::told($reply, $client->getLastError()), $replies);
    }

    /** @param  list<string>  $command */
    private function onCluster(RedisCluster $client, array $command): mixed
    {
        $client->clearLastError();

        return self::told($client->rawCommand($command[1], ...$command), $client->getLastError());
    }

    /**
     * @param  \Predis\Client  $client
     * @param  list<list<string>>  $commands
     * @return list<mixed>
     */
    private function onPredis(object $client, array $commands): array
    {
        $replies = $client->pipeline(static function (object $pipeline) use ($commands): void {
            foreach ($commands as $command) {
                $pipeline->executeCommand(RawCommand::create(...$command));
            }
        });

        return array_map(
            static fn (mixed $reply): mixed => $reply instanceof ErrorInterface
                ? new RedisRefused($reply->getMessage())
                : $reply,
            $replies,
        );
    }

    private static function told(mixed $reply, ?string $error): mixed
    {
        if ($reply !== false) {
            return $reply;
        }

        return $error === null ? null : new RedisRefused($error);
    }
}
