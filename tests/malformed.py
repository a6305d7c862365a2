"""Thousands of ways to get an event wrong, each with the reasons a decoder may give.

Deterministic: the same seed gives the same entries. Every kind is a valid event with one thing
wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from shared.streams.keys import partition_of
from tests.event_samples import PARTITIONS, SAMPLES, entry, key_of, stream_of

MALFORMED = frozenset({"malformed"})
JSON = frozenset({"invalid_json"})
MISSING = frozenset({"missing_field"})


class Malformed(NamedTuple):
    """One bad entry: where it is read, its fields, and the reasons that fit it."""

    kind: str
    stream: str
    partition: int
    fields: dict[bytes, bytes]
    reasons: frozenset[str]


# JSON text that is wrong for a field of this sort, whatever the field.
_NEVER = ["[]", "{}", "[[]]", '{"a":1}', "1.5", "-1.5", "1e3", "1e400", '["1"]', "false", "-0.0"]
_NEVER_NUMBER_WORDS = ["NaN", "Infinity", "-Infinity"]
_AMOUNTS = [
    *_NEVER, "true", "0", "1", "-1", "9" * 30, '""', '" "', '"1 "', '" 1"', '"1\\n"', '"\\t1"',
    '"+1"',
    '"1e5"', '"1E-5"', '"1."', '".5"', '"-"', '"--1"', '"0x10"', '"1,000"', '"1_000"', '"1.2.3"',
    '"NaN"', '"nan"', '"sNaN"', '"Infinity"', '"-inf"', '"one"', '"1\\u0000"', '"\\u0661"',
    '"\\uff11"', '"1' + "0" * 18 + '"', '"' + "9" * 400 + '"', '"0.' + "1" * 19 + '"',
    '"1.' + "0" * 19 + '"', '"1' + "0" * 18 + "." + "1" * 18 + '"', '"\u00bd"', '"1\u00a0"',
    '"\u22121"',
    '"1/2"', '"$1"', '"1 USDT"', '"null"', '"true"', '"1-"',
]  # fmt: skip
_UNSIGNED = [*_AMOUNTS, '"-1"', '"-0"', '"-0.000000000000000001"']
_POSITIVE = [*_UNSIGNED, '"0"', '"0.0"', '"000.000000000000000000"']
_DIRTY = [
    '" a"', '"a "', '"a\\n"', '"\\ta"', '"a\\u0000"', '"\\u0000"', '"a\\u0000b"', '"a\\u001fb"',
    '"a\\u007fb"', '"a\\u0085b"', '"a\\u009f"', '"\\u00a0a"', '"a\\u2003"', '"a\\u3000"',
    '"\\u2028a"',
    '" "', '"\\u2029"', '"a\\rb"', '"a\\u000bb"', '"\x7f"', '"a\x7f"', '"\x85a"',
]  # fmt: skip
_TEXT = [*_NEVER, "true", *_DIRTY]
_ENUM = [
    *_NEVER, "true", "0", "1", '" "', '"x"', '"NORMAL"', '"nett"', '"net "', '" net"', '"Buy"',
    '"BUY"',
    '"b"', '"\\u0000"', '"linear\\u0000"', '"options"', '"both"', '"null"',
]  # fmt: skip
_INTEGER = [
    *_NEVER, "true", "1.0", "0.0", "-1", "-9223372036854775809", "18446744073709551616", "9" * 40,
    '"1"',
    '""', '"abc"', '"1764000000123"', "1764000000123.0", "1.764e12",
]  # fmt: skip
_TIME = [*_INTEGER, "0", "1", "1764000000", "1764000000123456", "7258118400000", "1230767999999"]
_BOOL = [*(one for one in _NEVER if one != "false"), "0", "1", '"true"', '"false"', '""', '"1"']
_PROSE = [*_NEVER, "true", "0", "1"]
_LIST = ["1", "true", '""', '"[]"', "1.5", "{}", "[[]]", "[1]", "[null]", '["1"]']
_OBJECT = ["[]", "1", "true", '""', '"{}"', "1.5", "[[]]"]
_ACCOUNT = [*_INTEGER, "0", "-42"]

_SORTS: dict[str, list[str]] = {
    "amount": _AMOUNTS, "unsigned": _UNSIGNED, "positive": _POSITIVE, "text": _TEXT, "enum": _ENUM,
    "integer": _INTEGER, "time": _TIME, "bool": _BOOL, "prose": _PROSE, "account": _ACCOUNT,
    "chat": _TEXT, "object": _OBJECT, "list": _LIST,
}  # fmt: skip

_FILL_FIELDS = {
    "account_id": "account", "venue": "text:32", "product": "enum", "instrument": "text:64",
    "position_side": "enum", "trade_id": "text:128", "order_id": "text?:128", "side": "enum",
    "qty": "positive", "price": "positive", "contract_size": "positive?", "fee": "amount?",
    "fee_asset": "text?:32", "settle_asset": "text:32", "executed_at_ms": "time",
    "venue_seq": "integer?", "revision": "integer!", "source": "enum?",
    "client_order_id": "text?:128", "liquidity": "enum?", "kind": "enum?",
    "realized_pnl": "amount?",
    "signal_id": "chat?:191", "strategy": "text?:191",
}  # fmt: skip
_ORDER_FIELDS = {
    "account_id": "account", "venue": "text:32", "product": "enum", "instrument": "text:64",
    "order_id": "text?:128", "client_order_id": "text?:128", "at_ms": "time", "side": "enum?",
    "order_type": "text?:32", "qty": "unsigned?", "price": "unsigned?", "stop_price": "unsigned?",
    "reduce_only": "bool?", "signal_id": "chat?:191", "strategy": "text?:191",
    "reason": "prose?:512",
}  # fmt: skip
_CASH_FIELDS = {
    "account_id": "account", "venue": "text:32", "asset": "text:32", "amount": "amount",
    "kind": "enum", "venue_type": "text:64", "ref": "text:128", "instrument": "text?:64",
    "product": "enum?", "at_ms": "time",
}  # fmt: skip
_OPENED_FIELDS = {
    "account_id": "account", "venue": "text:32", "product": "enum", "instrument": "text:64",
    "position_side": "enum", "ref": "text:128", "qty": "amount", "contract_size": "positive?",
    "settle_asset": "text:32", "base_asset": "text?:32", "quote_asset": "text?:32", "at_ms": "time",
}  # fmt: skip
_FIELDS: dict[str, dict[str, str]] = {
    "linear fill": _FILL_FIELDS,
    "spot fill": _FILL_FIELDS | {"base_asset": "text:32", "quote_asset": "text:32"},
    "order placed": _ORDER_FIELDS,
    "order canceled": _ORDER_FIELDS,
    "order rejected": _ORDER_FIELDS,
    "cash moved": _CASH_FIELDS,
    "holding moved": _CASH_FIELDS | {"quote_asset": "text?:32", "basis": "unsigned?"},
    "position opened": _OPENED_FIELDS | {"entry_price": "positive?"},
    "holding opened": _OPENED_FIELDS | {"cost": "unsigned?"},
    "position observed": {
        "account_id": "account", "venue": "text:32", "product": "enum", "instrument": "text:64",
        "position_side": "enum", "qty": "amount", "watermark_ms": "time",
        "entry_price": "unsigned?", "mark_price": "unsigned?", "contract_size": "unsigned?",
        "settle_asset": "text?:32",
    },
    "balance observed": {
        "account_id": "account", "venue": "text:32", "asset": "text:32", "wallet": "amount",
        "watermark_ms": "time", "product": "enum?",
    },
    "signal": {
        "source": "enum", "channel_id": "chat:128", "message_id": "chat:128", "revision": "integer",
        "received_at_ms": "time", "text": "prose", "instrument": "text?:64", "side": "enum?",
        "intent": "enum?", "entry": "object?", "targets": "list?", "stop": "unsigned?",
        "leverage": "unsigned?", "expires_at_ms": "time?",
    },
}  # fmt: skip
"""field -> sort, `?` may be null or left out, `!` may be left out but not null, `:` width."""

_MAY_BE_EMPTY = {
    ("cash moved", "instrument"), ("cash moved", "product"), ("balance observed", "product"),
}  # fmt: skip


def malformed(seed: int = 0) -> Iterator[Malformed]:
    """At least 5,000 kinds; `kind` names each once."""
    random = Random(seed)
    for name in SAMPLES:
        # Another account and id per seed and sample: crowds of bad events share no key.
        account = random.randrange(1, 1 << 40)
        type_, body = SAMPLES[name]
        if "account_id" in body:
            body = body | {"account_id": account}
        good = entry(type_, body, key_of(body))
        good[b"id"] = f"{random.getrandbits(128):032x}".encode()
        yield from _of_fields(name, good, body)
        yield from _of_json(name, good, body)
        yield from _of_bytes(name, good)
        yield from _of_entry(name, good)
        yield from _of_place(name, good)
    yield from _of_bodies(random)


def _made(
    kind: str, good: dict[bytes, bytes], reasons: frozenset[str], **changed: bytes
) -> Malformed:
    fields = good | {name.encode(): value for name, value in changed.items()}
    # The stream is the sample's own even where the type was changed.
    stream = stream_of(good[b"type"].decode())
    return Malformed(kind, stream, partition_of(fields[b"key"], PARTITIONS), fields, reasons)


def _with(body: dict[str, Any], field: str, value: str) -> bytes:
    """The body with one value replaced by raw JSON text, right or wrong."""
    members = {name: json.dumps(one) for name, one in body.items()} | {field: value}
    return _joined(members)


def _joined(members: dict[str, str]) -> bytes:
    return ("{" + ",".join(f'"{name}":{one}' for name, one in members.items()) + "}").encode()


def _of_fields(name: str, good: dict[bytes, bytes], body: dict[str, Any]) -> Iterator[Malformed]:
    """Every field crossed with every value that is wrong for its sort."""
    for field, words in _FIELDS[name].items():
        sort, _, width = words.partition(":")
        base = sort.rstrip("?!")
        values = [*_SORTS[base], *_by_width(base, width)]
        if base in {"text", "chat", "enum"} and (name, field) not in _MAY_BE_EMPTY:
            values.append('""')
        if not sort.endswith("?"):
            values.append("null")
        for value in dict.fromkeys(values):
            kind = f"{name}: {field} = {value[:60]!a} ({len(value)})"
            reasons = frozenset({"malformed", "missing_field"}) if value == "null" else MALFORMED
            yield _made(kind, good, reasons, data=_with(body, field, value))
        for value in _NEVER_NUMBER_WORDS:
            yield _made(f"{name}: {field} = {value}", good, JSON, data=_with(body, field, value))
        if sort[-1] not in "?!":
            rest = {one: text for one, text in body.items() if one != field}
            yield _made(f"{name}: no {field}", good, MISSING, data=json.dumps(rest).encode())


def _by_width(base: str, width: str) -> list[str]:
    values = {"text": ["1", "0"], "chat": [str(1 << 64)]}.get(base, [])
    if not width:
        return values
    too_long = int(width) + 1
    # One character outside the BMP counts as one, as in a utf8mb4 column.
    return [*values, '"' + "w" * too_long + '"', '"' + "\U0001f680" * too_long + '"']


def _of_json(name: str, good: dict[bytes, bytes], body: dict[str, Any]) -> Iterator[Malformed]:
    """Text that is no JSON, or JSON that is no object; and invalid text inside every field."""
    for field in body:
        for words, value in {
            "invalid UTF-8": b'"a\xff"',
            "a lone surrogate": b'"\\ud800"',
            "a lone low surrogate": b'"\\udc00a"',
            "a surrogate in UTF-8": b'"\xed\xa0\x80"',
            "an overlong NUL": b'"\xc0\x80"',
            "half a character": b'"\xf0\x9f\x9a"',
            "a raw line feed": b'"a\nb"',
            "a raw NUL": b'"a\x00b"',
            "no quotes": b"abc",
            "single quotes": b"'1'",
            "an unknown escape": b'"\\x41"',
            "a leading zero": b"01",
            "a plus": b"+1",
            "no value": b"",
            "an open bracket": b"[",
            "deep brackets": b"[" * 5_000,
            "a bare minus": b"-",
            "a hexadecimal number": b"0x1F",
            "5,000 digits": b"9" * 5_000,
        }.items():
            data = _with(body, field, "@@").replace(b"@@", value)
            yield _made(f"{name}: {words} in {field}", good, JSON, data=data)
    for word in ("NaN", "Infinity", "-Infinity", '"\\ud800"', "[" * 5_000, '"\n"', "9" * 5_000):
        data = _with(body, "unknown_field", word)
        yield _made(f"{name}: unknown field = {word[:20]!a}", good, JSON, data=data)
    whole = good[b"data"]
    for what, data in {
        "empty": b"", "space": b" ", "BOM": b"\xef\xbb\xbf" + whole, "two objects": whole + whole,
        "trailing NUL": whole + b"\x00", "trailing comma": whole[:-1] + b",}",
        "UTF-16": whole.decode().encode("utf-16"),
        "comment": whole + b"//", "Python": str(body).encode(), "PHP": b'a:1:{s:1:"a";i:1;}',
        "no colon": b'{"a" 1}', "key without quotes": b"{a:1}", "form": b"account_id=42&qty=1",
        "gzip": b"\x1f\x8b\x08\x00\x00", "igbinary": b"\x00\x00\x00\x02\x14\x01",
        "xml": b"<event/>",
    }.items():  # fmt: skip
        yield _made(f"{name}: data is {what}", good, JSON, data=data)
    for value in (b"[]", b"null", b"true", b"1", b'"a"', b"[" + whole + b"]",
    json.dumps(whole.decode()).encode()):  # fmt: skip
        yield _made(f"{name}: data is {value[:12]!a}, no object", good, MALFORMED, data=value)
    yield _made(f"{name}: data is an empty object", good, MISSING, data=b"{}")
    large = _with(body, "unknown_field", '"' + "x" * 70_000 + '"')
    yield _made(f"{name}: data above 64 KiB", good, frozenset({"too_large"}), data=large)
    padded = whole + b" " * (65_537 - len(whole))
    yield _made(f"{name}: data one byte above 64 KiB", good, frozenset({"too_large"}), data=padded)


def _of_bytes(name: str, good: dict[bytes, bytes]) -> Iterator[Malformed]:
    """Data cut off at each byte, and with a foreign byte put in at each."""
    data = good[b"data"]
    for length in range(1, len(data)):
        yield _made(f"{name}: cut off at byte {length}", good, JSON, data=data[:length])
    for position in range(0, len(data), 7):
        broken = data[:position] + b"\xff" + data[position:]
        yield _made(f"{name}: byte 0xff before byte {position}", good, JSON, data=broken)


def _of_entry(name: str, good: dict[bytes, bytes]) -> Iterator[Malformed]:
    """The fields of the entry around the data."""
    for field in (b"type", b"key", b"id", b"ts_us", b"data"):
        rest = {one: value for one, value in good.items() if one != field}
        place = partition_of(good[b"key"], PARTITIONS)
        stream = stream_of(good[b"type"].decode())
        yield Malformed(f"{name}: entry without {field!a}", stream, place, rest, MISSING)
    own = good[b"type"].decode()
    family, _, version = own.rpartition(".")
    for type_, reason in {
        "": "unknown_type", ".": "unknown_type", "1": "unknown_type", family: "unknown_type",
        f"{family}.2": "unknown_version", f"{family}.0": "unknown_version",
        f"{family}.01": "unknown_version", f"{family}.-1": "unknown_version",
        f"{family}.x": "unknown_version", f"{family}.": "unknown_version",
        f"{family}.99999999999999999999": "unknown_version", f"{own} ": "unknown_version",
        f" {own}": "unknown_type", own.upper(): "unknown_type", f"{own}.1": "unknown_type",
        f"{family}s.{version}": "unknown_type", f"App\\Events\\{own}": "unknown_type",
        "t" * 5_000: "unknown_type",
        "order.filled.1" if own.startswith("signal") else "signal.received.1": "wrong_stream",
    }.items():  # fmt: skip
        yield _made(f"{name}: type {type_[:40]!a}", good, frozenset({reason}), type=type_.encode())
    yield _made(f"{name}: type not UTF-8", good, frozenset({"unknown_type"}), type=b"\xff.1")
    for value in (
        b"", b"0", b"-1", b"1764000000", b"1764000000123", b"1764000000123456789",
        b"1764000000123456.0",
        b"+1764000000123456", b" 1764000000123456", b"1764000000123456 ", b"01764000000123456",
        b"\xff",
        b"1.764e15", b"now", b"2026-11-22T00:00:00Z", b"18446744073709551616",
        b"18446744073709551615",
        "\u0661".encode() * 16, b"1764000000_12345", b"9" * 16, b"9" * 5_000, b"0000000000000001",
        b"null", b"NaN", b"1230767999999999", b"7258118400000000",
    ):  # fmt: skip
        yield _made(f"{name}: ts_us {value[:30]!a} ({len(value)})", good, MALFORMED, ts_us=value)
    for value in (
        b"", b" ", b" a", b"a ", b"a\n", b"\ta", b"a\x00", b"\x00", b"a\x1fb", b"\xff",
        b"a\xed\xa0\x80", b"x" * 192,
        "\u00e9".encode() * 192, "\u00a0a".encode(), "a\u3000".encode(), "\x85".encode(), b"\x7f",
        b"a\rb", b"\xc3",
    ):  # fmt: skip
        yield _made(f"{name}: id {value[:30]!a} ({len(value)})", good, MALFORMED, id=value)
    for value in (
        b"", b"0", b"-1", b"01", b"1.0", b"x", b" 1", b"1 ", b"\xff", b"18446744073709551616",
        b"9" * 30, b"1\n",
        "\u0661".encode(), b"null", b"+1",
    ):  # fmt: skip
        yield _made(f"{name}: outbox {value[:30]!a}", good, MALFORMED, outbox=value)


def _of_place(name: str, good: dict[bytes, bytes]) -> Iterator[Malformed]:
    """Keys that are not the body's, and right keys on a wrong partition."""
    key = good[b"key"]
    wrong = frozenset({"wrong_key"})
    for value in (
        b"", b"0" + key, key + b" ", b" " + key, b"+" + key, b"-" + key, key + b".0", key + b"\n",
        key + b"\x00", b"0",
        b"43", b"null", b"account:" + key, b"\xef\xbb\xbf" + key, b"18446744073709551616",
        b"k" * 2_000, key[:-1],
        key + b"1", key + "\u00a0".encode(), "\u0664\u0662".encode(),
    ):  # fmt: skip
        yield _made(f"{name}: key {value[:40]!a} ({len(value)})", good, wrong, key=value)
    for value in (b"\xff", key + b"\xff", b"\xed\xa0\x80"):
        yield _made(f"{name}: key {value[:40]!a} not UTF-8", good, MALFORMED, key=value)
    made = _made(name, good, frozenset({"wrong_partition"}))
    for partition in range(PARTITIONS):
        if partition != made.partition:
            distance = (partition - made.partition) % PARTITIONS
            yield made._replace(kind=f"{name}: {distance} partitions off", partition=partition)


def _of_bodies(random: Random) -> Iterator[Malformed]:
    """Fields that are right one by one and wrong together."""
    account = random.randrange(1, 1 << 40)
    for name, change, reasons in (
        ("linear fill", {"product": "option"}, MALFORMED),
        ("spot fill", {"product": "option"}, MALFORMED),
        ("linear fill", {"fee_asset": None}, MALFORMED),
        ("linear fill", {"product": "spot"}, MISSING),
        ("linear fill", {"product": "spot", "base_asset": "BTC"}, MISSING),
        ("linear fill", {"product": "spot", "quote_asset": "USDT"}, MISSING),
        ("spot fill", {"base_asset": None}, MISSING),
        ("spot fill", {"quote_asset": None}, MISSING),
        ("spot fill", {"position_side": "long"}, MALFORMED),
        ("spot fill", {"position_side": "short"}, MALFORMED),
        ("spot fill", {"fee_asset": None}, MALFORMED),
        ("order placed", {"order_id": None, "client_order_id": None}, MISSING),
        ("order canceled", {"order_id": None, "client_order_id": None}, MISSING),
        ("order rejected", {"order_id": None, "client_order_id": None}, MISSING),
        ("cash moved", {"quote_asset": "USDT"}, MALFORMED),
        ("cash moved", {"basis": "1"}, MALFORMED),
        ("cash moved", {"product": "option"}, MALFORMED),
        ("holding moved", {"product": "linear"}, MALFORMED),
        ("holding moved", {"product": None}, MALFORMED),
        ("holding moved", {"product": ""}, MALFORMED),
        ("holding moved", {"instrument": ""}, MALFORMED),
        ("holding moved", {"instrument": None}, MALFORMED),
        ("holding moved", {"quote_asset": None}, MALFORMED),
        ("holding moved", {"amount": "-0.5"}, MALFORMED),
        ("holding moved", {"amount": "0"}, MALFORMED),
        ("position opened", {"product": "option"}, MALFORMED),
        ("position opened", {"entry_price": None}, MALFORMED),
        ("position opened", {"cost": "8015.3875"}, MALFORMED),
        ("position opened", {"qty": "0.125"}, MALFORMED),
        ("position opened", {"position_side": "long"}, MALFORMED),
        ("position opened", {"product": "spot"}, MALFORMED),
        ("holding opened", {"cost": None}, MALFORMED),
        ("holding opened", {"entry_price": "64123.1"}, MALFORMED),
        ("holding opened", {"qty": "-0.125"}, MALFORMED),
        ("holding opened", {"position_side": "long"}, MALFORMED),
        ("holding opened", {"position_side": "short"}, MALFORMED),
        ("holding opened", {"base_asset": None}, MISSING),
        ("holding opened", {"quote_asset": None}, MISSING),
        ("position observed", {"product": "option"}, MALFORMED),
        ("balance observed", {"product": "option"}, MALFORMED),
        ("signal", {"entry": {"type": "limit", "prices": [1]}}, MALFORMED),
        ("signal", {"entry": {"type": "limit", "prices": ["NaN"]}}, MALFORMED),
        ("signal", {"entry": {"type": "limit", "prices": "64000"}}, MALFORMED),
        ("signal", {"entry": {"prices": ["1"]}}, MISSING),
        ("signal", {"entry": {"type": ""}}, MALFORMED),
        ("signal", {"targets": [{"price": 1.5}]}, MALFORMED),
        ("signal", {"targets": [{"fraction": "1"}]}, MISSING),
        ("signal", {"targets": [{"price": "1", "fraction": "-1"}]}, MALFORMED),
        ("signal", {"targets": {"price": "1"}}, MALFORMED),
        ("signal", {"targets": ["1"]}, MALFORMED),
    ):
        type_, body = SAMPLES[name]
        if "account_id" in body:
            body = body | {"account_id": account}
        good = entry(type_, body | change, key_of(body))
        yield _made(f"{name}: {json.dumps(change)} against the rest", good, reasons)
