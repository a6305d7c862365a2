<?php

declare(strict_types=1);

namespace App\Jobs;

use Illuminate\Bus\Batchable;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Queue\SerializesModels;
use Illuminate\Support\Facades\Redis;
use RuntimeException;
use Throwable;

/** Leaves a word in the list `desk:told`, so that a test sees what ran and in which order. */
class Tell implements ShouldQueue
{
    use Batchable;
    use Dispatchable;
    use InteractsWithQueue;
    use Queueable;
    use SerializesModels;

    /** @param bool $fails whether to fail after the word is said */
    public function __construct(public string $word, public bool $fails = false)
    {
    }

    public static function say(string $word): void
    {
        Redis::rpush('desk:told', $word);
    }

    public function handle(): void
    {
        self::say($this->word);
        if ($this->fails) {
            throw new RuntimeException("{$this->word} was told to fail");
        }
    }

    public function failed(?Throwable $failure): void
    {
        self::say("{$this->word} failed: ".get_class($failure).": {$failure->getMessage()}");
    }
}
