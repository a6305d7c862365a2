<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

/** One event as it travels: a row of the outbox or an entry of a stream, its data JSON text. */
final class Entry
{
    /** @param  string  $tsUs  event time, microseconds since 1970 UTC */
    public function __construct(
        public string $stream,
        public string $type,
        public string $key,
        public string $id,
        public string $tsUs,
        public string $data,
        public ?string $traceparent = null,
    ) {
    }

    /** @return array<string, string|null> columns of fleet_outbox */
    public function row(): array
    {
        return [
            'stream' => $this->stream,
            'type' => $this->type,
            'event_key' => $this->key,
            'event_id' => $this->id,
            'ts_us' => $this->tsUs,
            'data' => $this->data,
            'traceparent' => $this->traceparent,
        ];
    }

    /** @return list<string> names and values, in the order that the decoder reads fastest */
    public function fields(): array
    {
        $fields = ['type', $this->type, 'key', $this->key, 'id', $this->id, 'ts_us', $this->tsUs, 'data', $this->data];

        return $this->traceparent === null ? $fields : [...$fields, 'traceparent', $this->traceparent];
    }

    public function streamKey(int $partitions): string
    {
        return self::partitionKey($this->stream, crc32($this->key) % $partitions);
    }

    /** Redis key of a partition, without the prefix. The inner braces are literal: a Redis hash tag. */
    public static function partitionKey(string $stream, int $partition): string
    {
        return "streams:{{$stream}:{$partition}}";
    }
}
