"""Horizon's records in Redis as plain data: to compare ours with those of a real Horizon.

A recording (tests/fixtures/horizon) holds every key before and after each step of a job's life,
with ids, times and texts that differ from run to run replaced by names. It was made by a real
Horizon on a real Laravel; `dump` makes the same of ours, and `restore` puts a recorded state into
Redis.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis

FOLDER = Path(__file__).with_name("fixtures") / "horizon"
HORIZON, QUEUES = "hzh:", "hzq:"

Dump = dict[str, dict[str, Any]]

_TIME = re.compile(r"\b1[78]\d{8}\.\d{1,4}\b")
_SECONDS = re.compile(r"\b1[78]\d{8}\b")
JOBS = range(1, 10)
"""Numbers of a recording's jobs, the oldest first."""

YEAR_2020 = 1_577_836_800
_UNLIKE = {"exception": "EXCEPTION", "runtime": "RUNTIME"}


def recorded() -> dict[str, Dump]:
    (path,) = FOLDER.glob("*.json")
    found: dict[str, Dump] = json.loads(path.read_text(encoding="utf-8"))
    return found


def dump(redis: Redis, horizon: str, queues: str) -> Dump:
    """Every key below the two prefixes, as in a recording."""
    order: Any = redis.zrange(f"{horizon}recent_jobs", 0, -1, desc=True)
    ids = {one.decode(): f"ID{number}" for number, one in enumerate(order, 1)}

    def plain(value: Any) -> str:
        text = value.decode() if isinstance(value, bytes) else str(value)
        for own, name in ids.items():
            text = text.replace(own, name)
        text = text.replace(horizon, HORIZON).replace(queues, QUEUES)
        return _SECONDS.sub("SECONDS", _TIME.sub("TIME", text))

    found: Dump = {}
    patterns = (f"{horizon}*", f"{queues}*")
    for key in {one for pattern in patterns for one in redis.scan_iter(pattern, count=1000)}:
        name = plain(key)
        if re.match(r"hz[hq]:(healed|fleet:|cache)", name):
            continue
        ttl: Any = redis.ttl(key)
        found[name] = {
            "minutes": -(-ttl // 60) if ttl > 0 else None,
            "value": _value(redis, key, plain),
        }
    return found


def _value(redis: Redis, key: Any, plain: Callable[[Any], str]) -> Any:
    any_redis: Any = redis
    kind = any_redis.type(key).decode()
    if kind == "hash":
        fields = {plain(name): value for name, value in any_redis.hgetall(key).items()}
        return {name: _UNLIKE.get(name, _told(fields[name], plain)) for name in sorted(fields)}
    if kind == "zset":
        members = any_redis.zrange(key, 0, -1, withscores=True)
        return {"sorted": [[_told(one, plain), plain(repr(score))] for one, score in members]}
    if kind == "set":
        return {"set": sorted(map(plain, any_redis.smembers(key)))}
    if kind == "list":
        return {"list": [_told(one, plain) for one in any_redis.lrange(key, 0, -1)]}
    return plain(any_redis.get(key))


def _told(value: bytes, plain: Callable[[Any], str]) -> Any:
    """JSON by what it says: PHP and Redis order and escape it differently."""
    if value[:1] not in {b"{", b"["}:
        return plain(value)
    decoded = _named(json.loads(value), plain)
    if isinstance(decoded, dict) and decoded.get("tags") == {}:
        decoded["tags"] = []
    return {"json": decoded}


def _named(value: Any, plain: Callable[[Any], str]) -> Any:
    if isinstance(value, dict):
        return {name: _named(one, plain) for name, one in value.items()}
    if isinstance(value, list):
        return [_named(one, plain) for one in value]
    moment = isinstance(value, str) or (type(value) is int and value > YEAR_2020)
    return plain(value) if moment else value


def restore(redis: Redis, state: Dump, horizon: str, queues: str) -> None:
    """Put a recorded state into Redis, with fresh ids and this moment's time."""
    now = time.time() - len(JOBS)
    ids = {f"ID{number}": str(uuid.uuid4()) for number in JOBS}

    def real(value: Any) -> str:
        text = json.dumps(value["json"]) if isinstance(value, dict) else str(value)
        text = text.replace('"SECONDS"', str(int(now)))
        for name, own in ids.items():
            text = text.replace(name, own)
        text = text.replace(HORIZON, horizon).replace(QUEUES, queues)
        return text.replace("TIME", f"{now:.4f}").replace("SECONDS", str(int(now)))

    for name, entry in state.items():
        key, value = real(name), entry["value"]
        if isinstance(value, str):
            redis.set(key, real(value))
        elif "sorted" in value:
            for one, score in value["sorted"]:
                # A second apart, as jobs of one recording were: equal scores have no order.
                later = int(one.removeprefix("ID")) if str(one).startswith("ID") else 0
                text = str(score).replace("TIME", f"{now + later:.4f}")
                redis.zadd(key, {real(one): float(real(text))})
        elif "set" in value:
            redis.sadd(key, *map(real, value["set"]))
        elif "list" in value:
            redis.rpush(key, *map(real, value["list"]))
        else:
            redis.hset(key, mapping={real(field): real(one) for field, one in value.items()})
        if entry["minutes"]:
            redis.expire(key, entry["minutes"] * 60)
