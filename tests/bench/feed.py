"""Fills of the simulated market as stream entries, made once and appended as often as needed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson
from redis import Redis

from deploy.desk.market import Market
from shared.streams.keys import partition_of, stream_key

PIPELINE = 1_000


class Fed(NamedTuple):
    """One entry on its way: stream, partition, and its fields by name."""

    stream: str
    partition: int
    fields: dict[str, str]


def fills(
    count: int,
    *,
    accounts: int = 1_000,
    partitions: int = 32,
    seed: int = 7,
    from_trade: int = 0,
    from_ms: int = 0,
) -> list[Fed]:
    """`count` order.filled.1 of so many accounts, in the order in which they were executed.

    from_trade, from_ms: added to trade and order ids and to times, for another lot of fills.
    """
    fed = []
    for line in Market(seed, accounts).lines(count):
        if line.type != "order.filled.1":
            continue
        data, ts_us = line.data, line.ts_us
        if from_trade or from_ms:
            told = orjson.loads(data)
            told["trade_id"] = str(int(told["trade_id"]) + from_trade)
            told["order_id"] = f"{told['order_id']}-{from_trade}"
            told["executed_at_ms"] += from_ms
            data, ts_us = orjson.dumps(told).decode(), str(told["executed_at_ms"] * 1000)
        fields = {
            "type": line.type, "key": line.key, "id": line.id, "ts_us": ts_us, "data": data,
        }  # fmt: skip
        fed.append(Fed("orders", partition_of(line.key, partitions), fields))
    return fed


def of_one_account(count: int, *, partitions: int = 32) -> list[Fed]:
    """`count` fills of one linear position of one account, over 30 days, in order."""
    fed = []
    start, step = 1_767_225_600_000, 30 * 86_400_000 // count
    for number in range(count):
        data = {
            "account_id": 1, "venue": "desk", "product": "linear", "instrument": "BTCUSDT",
            "position_side": "net", "trade_id": str(number + 1), "order_id": f"o{number // 3}",
            "side": "buy" if (number * 7) % 5 < 3 else "sell",
            "qty": f"0.{number % 997 + 1:03d}",
            "price": f"{64_000 + number % 331}.{number % 89:02d}",
            "fee": f"0.{number % 83:04d}", "fee_asset": "USDT", "settle_asset": "USDT",
            "executed_at_ms": start + number * step, "source": "sync",
        }  # fmt: skip
        fields = {
            "type": "order.filled.1", "key": "1", "id": f"one-{number}",
            "ts_us": str((start + number * step) * 1000),
            "data": json.dumps(data, separators=(",", ":")),
        }  # fmt: skip
        fed.append(Fed("orders", partition_of("1", partitions), fields))
    return fed


def fields_of(one: Fed) -> dict[Any, Any]:
    """As redis-py's types want them."""
    return dict(one.fields)


def append(redis: Redis, prefix: str, fed: Iterable[Fed]) -> None:
    """XADD of everything, pipelined."""
    pipe = redis.pipeline(transaction=False)
    for number, one in enumerate(fed, 1):
        pipe.xadd(stream_key(prefix, one.stream, one.partition), fields_of(one))
        if number % PIPELINE == 0:
            pipe.execute()
    pipe.execute()


def append_to_one(redis: Redis, key: str, fed: Sequence[Fed]) -> None:
    """The same entries on a single stream, for peers that know no partitions."""
    pipe = redis.pipeline(transaction=False)
    for number, one in enumerate(fed, 1):
        pipe.xadd(key, fields_of(one))
        if number % PIPELINE == 0:
            pipe.execute()
    pipe.execute()
