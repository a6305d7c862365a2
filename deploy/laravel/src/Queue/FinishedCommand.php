<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Queue;

use Illuminate\Contracts\Queue\Job;
use Illuminate\Queue\CallQueuedHandler;
use Illuminate\Queue\Jobs\SyncJob;
use RuntimeException;
use Throwable;
use Tradefleet\Laravel\Exceptions\PythonJobFailed;

/**
 * Laravel's own handler of queued commands, without running the command: Python has done that.
 *
 * What is left is what Laravel does afterwards, in the way of the Laravel that is installed: locks, chains and
 * batches changed from version to version.
 */
final class FinishedCommand extends CallQueuedHandler
{
    public function completed(Job $job, string $uuid, string $command): void
    {
        $this->call($this->finishedJob($job, $uuid), ['command' => $command]);
    }

    public function afterFailure(Job $job, string $uuid, string $command, PythonJobFailed $failure): void
    {
        // Laravel 13 takes a fourth argument, the job; the others pass over it.
        $this->failed(['command' => $command], $failure, $uuid, $this->finishedJob($job, $uuid));
    }

    /** @param  array<string, mixed>  $data */
    protected function getCommand(array $data)
    {
        $command = parent::getCommand($data);
        if (! is_object($command) || $command instanceof \__PHP_Incomplete_Class) {
            throw new RuntimeException(
                'The job that Python ran is of a class that this application does not have (any more); deploy it, then '
                .'php artisan queue:retry.'
            );
        }

        return $command;
    }

    /** @param  mixed  $command */
    protected function dispatchThroughMiddleware(Job $job, $command)
    {
        // Python has run it.
    }

    /**
     * A debounced job that Python ran counts, whatever was dispatched meanwhile.
     *
     * @param  mixed  $command
     */
    protected function commandShouldBeDebounced($command)
    {
        return false;
    }

    /**
     * A model of the command is gone, so the rest of its chain cannot be read: this hand-back fails as any job does.
     *
     * @param  Throwable  $e
     */
    protected function handleModelNotFound(Job $job, $e)
    {
        throw $e;
    }

    /** A job of the same name as the one that Python has deleted; deleting it again does nothing. */
    private function finishedJob(Job $job, string $uuid): SyncJob
    {
        $payload = json_encode(['uuid' => $uuid, 'displayName' => null, 'data' => []], JSON_THROW_ON_ERROR);

        return new SyncJob($this->container, $payload, $job->getConnectionName(), $job->getQueue());
    }
}
