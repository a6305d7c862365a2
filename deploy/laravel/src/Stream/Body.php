<?php

declare(strict_types=1);

namespace Tradefleet\Laravel\Stream;

use Tradefleet\Laravel\Exceptions\InvalidEvent;

/**
 * The data of an event, field by field, each held against what the fleet's decoder takes. Null is left out.
 *
 * A mistake throws here, where it was made; sent anyway, the event would be parked.
 */
final class Body
{
    public const U32_LIMIT = 1 << 32;

    private const UNSIGNED = '/^[0-9]{1,18}(\.[0-9]{1,18})?$/D';

    private const SIGNED = '/^-?[0-9]{1,18}(\.[0-9]{1,18})?$/D';

    /** Neither empty nor with white space at an end (columns pad with spaces), nor control characters. */
    private const CLEAN = '/^[^\p{Z}\x00-\x1f\x7f-\x{9f}]([^\x00-\x1f\x7f-\x{9f}]*[^\p{Z}\x00-\x1f\x7f-\x{9f}])?$/Du';

    private const MS_FROM = 1_230_768_000_000; // 2009-01-01: seconds sent by mistake end up below

    private const MS_BELOW = 7_258_118_400_000; // 2200-01-01: microseconds sent by mistake end up above

    private const SHOWN = 60;

    /** @var array<string, mixed> */
    private array $fields = [];

    public static function checkedText(string $name, string $value, int $width): string
    {
        if (preg_match(self::CLEAN, $value) !== 1 || mb_strlen($value, 'UTF-8') > $width) {
            throw self::refusal(
                $name,
                $value,
                "1 to {$width} characters of UTF-8, without control characters and without white space at either end",
            );
        }

        return $value;
    }

    /** -1, 0 or 1, of an amount that is one. */
    public static function sign(string $amount): int
    {
        if (trim($amount, '-0.') === '') {
            return 0;
        }

        return $amount[0] === '-' ? -1 : 1;
    }

    /** @return array<string, mixed> */
    public function toArray(): array
    {
        return $this->fields;
    }

    public function text(string $name, ?string $value, int $width): self
    {
        return $this->put($name, $value === null ? null : self::checkedText($name, $value, $width));
    }

    public function textOrInteger(string $name, int|string|null $value, int $width): self
    {
        return is_string($value) ? $this->text($name, $value, $width) : $this->put($name, $value);
    }

    /** Words of people: may be empty and have line feeds. */
    public function prose(string $name, ?string $value, int $width): self
    {
        if ($value !== null && (! mb_check_encoding($value, 'UTF-8') || mb_strlen($value, 'UTF-8') > $width)) {
            throw self::refusal($name, $value, "at most {$width} characters of UTF-8");
        }

        return $this->put($name, $value);
    }

    /** @param  list<string>  $words */
    public function oneOf(string $name, ?string $value, array $words): self
    {
        if ($value !== null && ! in_array($value, $words, true)) {
            throw self::refusal($name, $value, 'one of '.implode(', ', $words));
        }

        return $this->put($name, $value);
    }

    public function integer(string $name, ?int $value, int $atLeast = 0, int $below = PHP_INT_MAX): self
    {
        if ($value !== null && ($value < $atLeast || $value >= $below)) {
            throw self::refusal($name, $value, "a whole number from {$atLeast} to ".($below - 1));
        }

        return $this->put($name, $value);
    }

    public function account(int $id): self
    {
        return $this->integer('account_id', $id, 1);
    }

    public function timeMs(string $name, ?int $value): self
    {
        if ($value !== null && ($value < self::MS_FROM || $value >= self::MS_BELOW)) {
            throw self::refusal(
                $name,
                $value,
                'milliseconds since 1970 UTC, between the years 2009 and 2200, for example now()->getTimestampMs()',
            );
        }

        return $this->put($name, $value);
    }

    public function boolean(string $name, ?bool $value): self
    {
        return $this->put($name, $value);
    }

    public function amount(string $name, mixed $value): self
    {
        return $this->put($name, $value === null ? null : self::checkedAmount($name, $value, self::SIGNED, ''));
    }

    public function unsigned(string $name, mixed $value): self
    {
        return $this->put($name, $value === null ? null : self::checkedUnsigned($name, $value));
    }

    public function positive(string $name, mixed $value): self
    {
        $this->unsigned($name, $value);
        if ($value !== null && self::sign($value) === 0) {
            throw self::refusal($name, $value, 'an amount above zero, as the venue reports it');
        }

        return $this;
    }

    /**
     * Where to get in: {type, prices?}.
     *
     * @param  array<array-key, mixed>|null  $value
     */
    public function entry(?array $value): self
    {
        if ($value === null) {
            return $this;
        }
        self::checkedMember('entry.type', $value['type'] ?? null, 32);
        $this->prices($value['prices'] ?? null);

        return $this->put('entry', self::known($value));
    }

    /**
     * Where to get out: a list of {price, fraction?}.
     *
     * @param  array<array-key, mixed>|null  $value
     */
    public function targets(?array $value): self
    {
        $targets = [];
        foreach ($value ?? [] as $at => $target) {
            if (! is_array($target) || ! isset($target['price'])) {
                throw self::refusal(
                    "targets.{$at}",
                    $target,
                    "['price' => '66000', 'fraction' => '0.5'], fraction may be left out",
                );
            }
            self::checkedUnsigned("targets.{$at}.price", $target['price']);
            if (isset($target['fraction'])) {
                self::checkedUnsigned("targets.{$at}.fraction", $target['fraction']);
            }
            $targets[] = self::known($target);
        }

        return $this->put('targets', $value === null ? null : $targets);
    }

    /** For amounts, which PHP itself lets be null. */
    public function required(string ...$names): self
    {
        foreach (array_diff($names, array_keys($this->fields)) as $name) {
            throw self::refusal($name, null, 'it');
        }

        return $this;
    }

    /** For fields that contradict one another. */
    public function check(bool $right, string $sentence): self
    {
        if (! $right) {
            throw new InvalidEvent($sentence);
        }

        return $this;
    }

    /**
     * @param  array<array-key, mixed>  $fields
     * @return array<array-key, mixed>
     */
    private static function known(array $fields): array
    {
        return array_filter($fields, static fn (mixed $value): bool => $value !== null);
    }

    private function prices(mixed $prices): void
    {
        if ($prices !== null && (! is_array($prices) || array_values($prices) !== $prices)) {
            throw self::refusal('entry.prices', $prices, "a list of amounts, ['64000', '63500.5']");
        }
        foreach ($prices ?? [] as $at => $price) {
            self::checkedUnsigned("entry.prices.{$at}", $price);
        }
    }

    private static function checkedMember(string $name, mixed $value, int $width): string
    {
        if (! is_string($value)) {
            throw self::refusal($name, $value, "text of 1 to {$width} characters");
        }

        return self::checkedText($name, $value, $width);
    }

    private static function checkedUnsigned(string $name, mixed $value): string
    {
        return self::checkedAmount($name, $value, self::UNSIGNED, ' without a sign');
    }

    private static function checkedAmount(string $name, mixed $value, string $pattern, string $words): string
    {
        if (is_string($value) && preg_match($pattern, $value) === 1) {
            return $value;
        }
        $why = is_float($value) ? '; a float has lost digits, take the text that the venue sent' : '';

        throw self::refusal(
            $name,
            $value,
            "a string of a plain decimal{$words} such as '0.015', at most 18 digits on either side of the point{$why}",
        );
    }

    private static function refusal(string $name, mixed $value, string $wanted): InvalidEvent
    {
        $shown = is_scalar($value) ? ' '.json_encode($value, JSON_INVALID_UTF8_SUBSTITUTE) : '';
        if (strlen($shown) > self::SHOWN) {
            $shown = substr($shown, 0, self::SHOWN).'...';
        }

        return new InvalidEvent("`{$name}` is ".get_debug_type($value)."{$shown}; send {$wanted}");
    }

    private function put(string $name, mixed $value): self
    {
        if ($value !== null) {
            $this->fields[$name] = $value;
        }

        return $this;
    }
}
