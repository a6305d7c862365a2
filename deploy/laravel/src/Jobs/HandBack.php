<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Jobs;

use Illuminate\Contracts\Queue\Job;
use InvalidArgumentException;
use Tradefleet\Laravel\Exceptions\PythonJobFailed;
use Tradefleet\Laravel\Queue\FinishedCommand;

/**
 * What comes after a job that Python ran: the unique lock goes, the chain goes on, the batch counts it.
 *
 * Python pushes it as a string job, so it is a plain class and deletes its own job.
 */
final class HandBack
{
    public function __construct(private FinishedCommand $finished)
    {
    }

    /**
     * @param  array<string, string|null>  $data  uuid, command: of the job that Python ran, as they were; outcome:
     *                                            completed or failed; exception, exceptionClass: why it failed
     */
    public function handle(Job $job, array $data): void
    {
        if ($data['outcome'] === 'completed') {
            $this->finished->completed($job, $data['uuid'], $data['command']);
        } elseif ($data['outcome'] === 'failed') {
            $failure = new PythonJobFailed($data['exception'] ?? 'no reason given', $data['exceptionClass'] ?? null);
            $this->finished->afterFailure($job, $data['uuid'], $data['command'], $failure);
        } else {
            throw new InvalidArgumentException("outcome is {$data['outcome']}; completed or failed expected");
        }
        $job->delete();
    }
}
