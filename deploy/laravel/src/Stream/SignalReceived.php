<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

/** Somebody said what to trade. Kept as said, per revision of the message. */
final class SignalReceived extends Event
{
    public const TYPE = 'signal.received.1';

    public const STREAM = 'signals';

    /**
     * @param  string  $source  telegram, discord, tradingview, webhook or api
     * @param  int  $revision  0 for a message as first sent, one more for each edit
     * @param  string  $text  the message as it came
     * @param  string|null  $side  long or short
     * @param  string|null  $intent  open, add, reduce, close, cancel or update
     * @param  array{type: string, prices?: ?list<string>}|null  $entry  ['type' => 'limit', 'prices' => ['64000']]
     * @param  list<array{price: string, fraction?: ?string}>|null  $targets  [['price' => '66000']]
     * @param  string|null  $stop  a price, for example '61000'
     * @param  string|null  $leverage  for example '10'
     */
    public function __construct(
        public string $source,
        public int|string $channelId,
        public int|string $messageId,
        public int $revision,
        public int $receivedAtMs,
        public string $text,
        public ?string $instrument = null,
        public ?string $side = null,
        public ?string $intent = null,
        public ?array $entry = null,
        public ?array $targets = null,
        public mixed $stop = null,
        public mixed $leverage = null,
        public ?int $expiresAtMs = null,
    ) {
        $this->toArray(); // a mistake shows here, not where the event is sent
    }

    public function key(): string
    {
        return (string) $this->channelId;
    }

    protected function happenedAtMs(): int
    {
        return $this->receivedAtMs;
    }

    protected function body(): Body
    {
        return (new Body())
            ->oneOf('source', $this->source, ['telegram', 'discord', 'tradingview', 'webhook', 'api'])
            ->textOrInteger('channel_id', $this->channelId, 128)
            ->textOrInteger('message_id', $this->messageId, 128)
            ->integer('revision', $this->revision, 0, Body::U32_LIMIT)
            ->timeMs('received_at_ms', $this->receivedAtMs)
            ->prose('text', $this->text, 65_536)
            ->text('instrument', $this->instrument, 64)
            ->oneOf('side', $this->side, ['long', 'short'])
            ->oneOf('intent', $this->intent, ['open', 'add', 'reduce', 'close', 'cancel', 'update'])
            ->entry($this->entry)
            ->targets($this->targets)
            ->unsigned('stop', $this->stop)
            ->unsigned('leverage', $this->leverage)
            ->timeMs('expires_at_ms', $this->expiresAtMs);
    }
}
