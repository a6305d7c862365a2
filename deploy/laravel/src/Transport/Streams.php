<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Transport;

use Throwable;
use Tradefleet\Laravel\Exceptions\NotConfigured;
use Tradefleet\Laravel\Exceptions\RedisRefused;
use Tradefleet\Laravel\Stream\Entry;

/** Entries of the streams, by XADD in pipelines. */
final class Streams
{
    /** 500 entries of the largest data are 32 MB in Redis' buffers. */
    private const ENTRIES_PER_PIPELINE = 500;

    private ?RedisCommands $redis = null;

    private ?int $partitions = null;

    public function __construct(private RedisSource $source)
    {
    }

    /**
     * @return list<string> ids of the entries, in order
     *
     * @throws RedisRefused where Redis did not take all of them. Send them all again: the fleet knows a repetition by
     *                      its id.
     */
    public function append(Entry ...$entries): array
    {
        $ids = [];
        foreach (array_chunk($entries, self::ENTRIES_PER_PIPELINE) as $chunk) {
            $commands = array_map(fn (Entry $entry): array => $this->command($entry), $chunk);
            try {
                $replies = $this->redis()->run($commands);
            } catch (Throwable $failure) {
                $this->redis = null; // the client may be in the middle of its pipeline: the next call connects anew

                throw self::refusal('at least '.count($ids), count($entries), $failure);
            }
            $taken = array_filter($replies, 'is_string');
            if (count($taken) < count($replies)) {
                $refused = current(array_diff_key($replies, $taken));

                throw self::refusal((string) (count($ids) + count($taken)), count($entries), $refused);
            }
            array_push($ids, ...$taken);
        }

        return $ids;
    }

    /** Partitions of each stream, as the fleet published them: fixed for ever, so read once per process. */
    public function partitions(): int
    {
        return $this->partitions ??= $this->publishedPartitions();
    }

    public function redis(): RedisCommands
    {
        return $this->redis ??= new RedisCommands($this->source->connect());
    }

    /** @return list<string> */
    private function command(Entry $entry): array
    {
        $key = $this->source->prefix().$entry->streamKey($this->partitions());

        return ['XADD', $key, '*', ...$entry->fields()];
    }

    private function publishedPartitions(): int
    {
        $key = $this->source->prefix().'fleet:partitions';
        $published = $this->redis()->one(['GET', $key]);
        if (! is_string($published) || (int) $published < 1) {
            throw new NotConfigured(
                "`{$key}` is not in Redis: start the fleet once, and see that both sides have the same Redis and "
                .'REDIS_PREFIX.'
            );
        }

        return (int) $published;
    }

    private static function refusal(string $taken, int $all, mixed $cause): RedisRefused
    {
        $why = $cause instanceof Throwable ? $cause->getMessage() : 'an answer that is no id';

        return new RedisRefused(
            "Redis took {$taken} of {$all} events: {$why}. Send them all again; repetitions do no harm.",
            0,
            $cause instanceof Throwable ? $cause : null,
        );
    }
}
