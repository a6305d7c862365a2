<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Doctor;

use Illuminate\Contracts\Config\Repository as Config;
use Illuminate\Database\ConnectionResolverInterface;
use Illuminate\Queue\Queue;
use Illuminate\Queue\QueueManager;
use Illuminate\Support\Str;
use Throwable;
use Tradefleet\Laravel\Jobs\Ping;
use Tradefleet\Laravel\Schema\FleetSchema;

/** Dispatches one job and waits for the row in which Python answers. */
final class PingPong
{
    private const LOOK_MICROSECONDS = 100_000;

    public function __construct(
        private Config $config,
        private QueueManager $queues,
        private ConnectionResolverInterface $databases,
        private FleetSchema $schema,
    ) {
    }

    public function play(int $seconds): Finding
    {
        $token = Str::random(32);
        $until = microtime(true) + $seconds;
        try {
            $uuid = $this->dispatched($token);
            do {
                $answer = $this->answer($uuid);
                if ($answer !== null) {
                    return $this->judged($answer, $token);
                }
                usleep(self::LOOK_MICROSECONDS);
            } while (microtime(true) < $until);
        } catch (Throwable $error) {
            return Finding::bad(
                'a job could not be sent or its answer not be read: '.Finding::reason($error),
                "run `fleet migrate`, and let this user read {$this->schema->quoted('fleet_requests')}",
            );
        }

        return $this->silence($seconds);
    }

    /** The job's uuid, under which the answer stands. */
    private function dispatched(string $token): string
    {
        $uuid = '';
        Queue::createPayloadUsing(static function ($connection, $queue, array $payload) use (&$uuid): array {
            $uuid = $payload['uuid'];

            return [];
        });
        Ping::dispatch($token);

        return $uuid;
    }

    private function answer(string $uuid): ?string
    {
        return $this->databases->connection()
            ->table($this->schema->table('fleet_requests'))
            ->where('uuid', $uuid)
            ->whereNotNull('answered_at')
            ->value('answer');
    }

    private function judged(string $answer, string $token): Finding
    {
        $said = json_decode($answer, true);
        if (! is_array($said) || ($said['token'] ?? null) !== $token) {
            return Finding::bad(
                'Python answered something else than it was asked: '.Str::limit($answer, 100),
                'run the same version of the package and of the fleet',
            );
        }

        return Finding::good("Python ran a job: node {$said['node']}, fleet {$said['fleet']}");
    }

    private function silence(int $seconds): Finding
    {
        $connection = (string) $this->config->get('fleet.connection');
        $queue = (string) $this->config->get('fleet.queue');
        $waiting = $this->queues->connection($connection)->size($queue);

        return Finding::bad(
            "no answer within {$seconds} s; {$waiting} jobs wait on queue `{$queue}`",
            $waiting > 0
                ? "start the fleet's Laravel workers (`fleet status` says whether they run); they must read this queue "
                    .'(FLEET_QUEUES) with the same Redis, database and REDIS_PREFIX'
                : "somebody took the job and did not answer: see `fleet status`, the fleet's log, and that no PHP "
                    ."worker has `{$queue}` in its --queue list",
        );
    }
}
