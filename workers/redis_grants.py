"""What each role may do in Redis: keys, channels and commands. See grants.py for the lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class RedisRights(NamedTuple):
    keys: tuple[str, ...] = ()  # with %R~, %W~ or ~; {p} is the Redis prefix, {b} the broker's
    channels: tuple[str, ...] = ()
    commands: str = ""


CONNECT = "+hello +auth +ping +select +client|setname +client|setinfo +info"
CLUSTER = "+cluster|slots +cluster|shards +command +asking"
"""On every node of a cluster, replicas as well: one of them may be a primary tomorrow."""
_LEASE = "+get +set +del +pexpire +eval +evalsha +script|load +zadd +zrem +zremrangebyscore +zrange"
_LOOK = "+xinfo|stream +xrange +xrevrange +xlen +exists +time +scan +memory|usage"

# What kombu, Celery's workers and remote control send; all of it under the broker's prefix.
_CELERY = (
    "+multi +exec +discard +watch +unwatch +eval +evalsha +script|load +script|exists +time"
    " +lpush +rpush +rpop +brpop +llen +sadd +srem +smembers"
    " +exists +get +set +del +pexpire +expire"
    " +hset +hget +hdel +hlen +zadd +zrem +zrange +zrangebyscore +zrevrangebyscore"
    " +publish +subscribe +psubscribe +unsubscribe +punsubscribe"
)
# PSUBSCRIBE must name a pattern of the list letter by letter, so those of Celery stand here.
_CELERY_CHANNELS = (
    "{b}/{db}.*",
    "{b}/{db}.celeryev/worker.*",
    "{b}/{db}.celeryev/*",
    "{b}/{db}.celery.pidbox",
)
_LIMITS = "+hmget +pttl +lindex +lrange +ltrim"
_RQ = (
    " +hgetall +hmget +hincrby +hincrbyfloat +hexists +zscore +zcard +zremrangebyscore +lrem +lpop"
    " +lrange +lpos +lmove +blmove +blpop +scard +sismember +persist +rename +ttl +xadd +xlen"
    " +xrevrange +xtrim +client|list +client|info"
)

# Each process says what it holds, and hears whether its role is drained; see drain.py.
_DRAIN = "+eval +time +hset +hget +hdel +hgetall"
_ATTENDS = RedisRights(("~{b}drain:*",), commands=_DRAIN)

_BROKER = RedisRights(("~{b}*",), _CELERY_CHANNELS, f"{_CELERY} +hgetall")

# What a sink of the change stream does: reads on, tells where it stands, asks for a snapshot.
_SINK = RedisRights(
    ("%R~{p}streams:{cdc:0}*", "~{p}streams:{cdc:0}:sinks", "~{p}streams:{cdc:0}:requests"),
    commands=f"{_LOOK} +xread +hget +hgetall +hset +rpush",
)

STREAMS_REDIS: Mapping[str, RedisRights] = {
    "streams": RedisRights(
        ("~{p}streams:*", "~{p}fleet:members:*", "~{p}fleet:partitions", "~{p}fleet:generation"),
        commands=f"{_LOOK} {_LEASE} +xread",
    ),
    "relay": RedisRights(
        ("~{p}streams:*", "~{p}fleet:partitions", "~{p}fleet:generation"),
        commands=f"{_LOOK} +get +set +xadd",
    ),
    "jobs": RedisRights(
        ("~{p}streams:*", "%R~{p}fleet:partitions"),
        commands=f"{_LOOK} +get +xtrim +xgroup|create +xgroup|setid +xinfo|groups",
    ),
    "rq": RedisRights(
        ("~{p}streams:*", "~{p}fleet:partitions", "~{p}fleet:generation"),
        commands=f"{_LOOK} +get +set +del",
    ),
    "collector": RedisRights(
        # The others for their size only: all streams share one budget.
        ("~{p}streams:{cdc:0}*", "%R~{p}streams:*"),
        commands=f"{_LOOK} +eval +evalsha +script|load +get +set +pexpire +type +xadd +xtrim +del"
        " +hget +hmget +hgetall +hset +hdel +lrange +lrem +lpop +rpush",
    ),
    "audit": _SINK,
    "timescale": _SINK,
    "metrics": RedisRights(
        ("%R~{p}streams:*", "%R~{p}fleet:*"),
        commands=f"{_LOOK} +get +hgetall +zrange +xinfo|groups",
    ),
    "cli": RedisRights(
        ("~{p}streams:*", "~{p}fleet:partitions", "~{p}fleet:generation", "%R~{p}fleet:members:*"),
        commands=f"{_LOOK} +get +set +zrange +xinfo|groups +config|get"
        " +hgetall +hset +hdel +lrange +rpush +eval +evalsha +script|load +xread +type +hmget",
    ),
}
BROKER_REDIS: Mapping[str, RedisRights] = {
    "streams": _BROKER,
    "relay": RedisRights(
        ("~{b}*",), _CELERY_CHANNELS, f"+publish +lpush +rpush +smembers +sadd {_DRAIN}"
    ),
    "collector": _ATTENDS,
    "audit": _ATTENDS,
    "timescale": _ATTENDS,
    "jobs": _BROKER,
    "sync": RedisRights(("~{b}*",), _CELERY_CHANNELS, f"{_CELERY} {_LIMITS} +hgetall"),
    "userstreams": RedisRights(("~{b}*",), _CELERY_CHANNELS, f"{_CELERY} {_LIMITS} +hgetall"),
    "laravel": _BROKER,
    "beat": RedisRights(
        ("~{b}*",), _CELERY_CHANNELS, f"{_CELERY} +pttl +hsetnx +hmget +hgetall +zscore +sismember"
    ),
    "flower": _BROKER,
    "rq": RedisRights(("~{b}*",), (*_CELERY_CHANNELS, "{b}*"), _CELERY + _RQ),
    "metrics": RedisRights(
        ("%R~{b}*",),
        commands="+llen +get +exists +hlen +hgetall +hget +hmget +zcard +zrange +smembers +scard"
        " +lrange +time +eval_ro +xrevrange",
    ),
    "cli": RedisRights(("~{b}*",), (*_CELERY_CHANNELS, "{b}*"), f"{_CELERY}{_RQ} +eval_ro"),
}
LARAVEL_REDIS: Mapping[str, RedisRights] = {
    "laravel": RedisRights(
        (
            "~{p}queues:*", "~{p}fleet:quarantine:*", "~{p}fleet:held:*", "~{h}*",
            "~{p}*illuminate:*", "~{p}*job-exceptions:*", "~{p}*laravel_unique_job:*",
        ),
        commands="+eval +evalsha +script|load +time +lindex +lpush +rpush +lpop +blpop +lrange"
        " +lrem +zadd +zrem +zscore +zrangebyscore +zrevrangebyscore +hset +hget +hmget +expire"
        " +expireat +del +get +mget +set +incr +sadd +sismember",
    ),
    "relay": RedisRights(
        ("~{p}queues:*", "~{p}fleet:dispatched:*", "~{h}*"),
        commands="+eval +evalsha +script|load +time +rpush +llen +zadd +hset +expireat +set"
        " +sismember",
    ),
    "cli": RedisRights(
        ("~{p}queues:*", "%R~{p}fleet:quarantine:*"),
        commands="+llen +zcard +lindex +zrange +time +rpush +multi +exec",
    ),
    "metrics": RedisRights(
        ("%R~{p}queues:*", "%R~{p}fleet:quarantine:*"),
        commands="+llen +zcard +lindex +zrange +time",
    ),
}
