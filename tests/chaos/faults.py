"""What goes wrong in a storm: one function per fault, one row per fault in FAULTS.

A fault either is over when its function returns, or plans its own end with `world.later`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple, Protocol

import MySQLdb
from redis import Redis
from redis.exceptions import RedisError

from shared.streams.keys import stream_key
from shared.streams.lease import LEASE_MS
from tests.chaos.fleet import Fleet, Gated
from tests.chaos.gates import Gate
from tests.desk import ROOT, Desk
from tests.waiting import eventually
from workers.registry import STREAMS

LEASE_SECONDS = LEASE_MS / 1000
SERVER_SECONDS = 120
CUT_BYTES_MOST = 40_000
FULL_BYTES = 2**20  # less than Redis uses
QUEUE = "queues:default"  # Laravel's
CATCH_SECONDS = 3.0
TAKEOVER_SECONDS = 2.0  # a successor waits one second for the row of a sleeper
SETTLE_SECONDS = 0.15  # InnoDB shows its transactions anew after 0.1 s without a look

Reach = Literal["ours", "servers", "loss", "ours_loss"]


class World(Protocol):
    """What a fault may touch."""

    desk: Desk
    fleet: Fleet
    rng: Random
    emptied: bool  # a fault has taken Laravel's own keys as well

    def later(self, seconds: float, act: Callable[[], None]) -> None: ...


class Fault(NamedTuple):
    """reach: `ours` disturbs nobody else on the servers, `servers` restarts or limits them,
    `ours_loss` destroys stream data of ours, `loss` data of the whole Redis. strike returns False
    when the fault did not come about.
    """

    name: str
    weight: int
    reach: Reach
    strike: Callable[[World], bool | None]


# -- processes -------------------------------------------------------------------------------------


def kill_node(world: World) -> None:
    world.rng.choice(world.fleet.nodes).send(signal.SIGKILL)


def kill_relay(world: World) -> None:
    world.rng.choice(world.fleet.relays).send(signal.SIGKILL)


def end_node(world: World) -> None:
    """A rolling deployment: SIGTERM."""
    member = world.rng.choice(world.fleet.nodes)
    member.killed = True
    member.send(signal.SIGTERM)


def stop_node(world: World) -> None:
    """Asleep for longer than its lease; then it goes on as if nothing had happened."""
    _sleep(world, world.rng.choice(world.fleet.nodes))


def stop_relay(world: World) -> None:
    _sleep(world, world.rng.choice(world.fleet.relays))


def stop_in_transaction(world: World) -> bool:
    """Asleep while it holds row locks: stopped again and again until it was caught at that."""
    with closing(world.desk.connect_root()) as connection:
        end = time.monotonic() + CATCH_SECONDS
        while time.monotonic() < end:
            member = world.rng.choice(world.fleet.nodes)
            if member.asleep:
                continue
            member.send(signal.SIGSTOP)
            time.sleep(SETTLE_SECONDS)
            if _in_transaction(world, member, connection):
                seconds = _longer_than_a_lease(world) + TAKEOVER_SECONDS
                world.later(seconds, partial(member.send, signal.SIGCONT))
                return True
            member.send(signal.SIGCONT)
            time.sleep(world.rng.uniform(0, SETTLE_SECONDS))
    return False


def fleet_down(world: World) -> None:
    """Everything of ours is killed; the producer goes on."""
    number = world.rng.choice((signal.SIGKILL, signal.SIGTERM))
    world.fleet.down(number)
    world.later(world.rng.uniform(3, 6), world.fleet.up)


def _sleep(world: World, member: Gated) -> None:
    member.send(signal.SIGSTOP)
    world.later(_longer_than_a_lease(world), lambda: member.send(signal.SIGCONT))


def _longer_than_a_lease(world: World) -> float:
    return LEASE_SECONDS + world.rng.uniform(0.5, 3)


def _in_transaction(world: World, member: Gated, connection: Any) -> bool:
    """Whether a node has changed rows in an open transaction."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT p.host FROM information_schema.innodb_trx t"
        " JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id"
        " WHERE p.db = %s AND t.trx_rows_modified > 0",
        (world.desk.name,),
    )
    ports = {int(host.rpartition(":")[2]) for (host,) in cursor.fetchall()}
    connection.commit()
    return bool(member.mysql.server_side_ports() & ports)


# -- connections -----------------------------------------------------------------------------------


def kill_redis_connections(world: World) -> None:
    """CLIENT KILL of about half of the fleet's connections."""
    ports = {port for one in world.fleet.members for port in one.redis.server_side_ports()}
    with closing(world.desk.redis()) as redis, suppress(RedisError):
        clients: Any = redis.client_list()
        for client in clients:
            port = int(str(client["addr"]).rpartition(":")[2])
            if port in ports and world.rng.random() < 0.5:
                redis.client_kill_filter(_id=str(client["id"]))


def kill_mysql_sessions(world: World) -> None:
    """KILL of about half of the sessions in our schema, the producer's among them."""
    with closing(world.desk.connect_root()) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE db = %s", (world.desk.name,)
        )
        for (session,) in cursor.fetchall():
            if world.rng.random() < 0.5:
                with suppress(MySQLdb.Error):  # it may have ended by itself
                    cursor.execute(f"KILL {int(session)}")


def lose_commits(world: World) -> None:
    """The next COMMIT of each node loses its reply, or never arrives."""
    for member in world.fleet.members:
        member.mysql.lose_commit(world.rng.choice(("reply", "reply", "request")))


def mute_mysql(world: World) -> None:
    _disturb(world, world.rng.choice(world.fleet.members).mysql, "mute")


def mute_redis(world: World) -> None:
    _disturb(world, world.rng.choice(world.fleet.members).redis, "mute")


def hold_mysql(world: World) -> None:
    _disturb(world, world.rng.choice(world.fleet.members).mysql, "hold")


def hold_redis(world: World) -> None:
    _disturb(world, world.rng.choice(world.fleet.members).redis, "hold")


def part_from_redis(world: World) -> None:
    """The whole fleet is cut off from Redis for a while."""
    for member in world.fleet.members:
        member.redis.hold()
    world.later(world.rng.uniform(2, 7), lambda: _heal([one.redis for one in world.fleet.members]))


def _disturb(world: World, gate: Gate, how: Literal["hold", "mute"]) -> None:
    gate.hold() if how == "hold" else gate.mute()
    world.later(world.rng.uniform(1, 7), gate.heal)


def _heal(gates: Sequence[Gate]) -> None:
    for gate in gates:
        gate.heal()


# -- servers ---------------------------------------------------------------------------------------


def kill_mysql(world: World) -> None:
    server_command(world.desk, "restart", "mysql", "--kill")


def kill_redis(world: World) -> None:
    server_command(world.desk, "restart", "redis", "--kill")


def fill_redis(world: World) -> bool:
    """Redis at its memory limit for some seconds."""
    with closing(world.desk.redis()) as redis:
        before: Any = redis.config_get("maxmemory")
        if int(before["maxmemory"]) == FULL_BYTES:
            return False  # it still is
        redis.config_set("maxmemory", str(FULL_BYTES))
    world.later(world.rng.uniform(2, 7), lambda: give_memory(world.desk, before["maxmemory"]))
    return True


def give_memory(desk: Desk, limit: str) -> None:
    with closing(desk.redis()) as redis:
        redis.config_set("maxmemory", limit)


def cut_aof(world: World) -> None:
    """Redis dies, and the last bytes of its append-only file never reached the disk."""
    with closing(world.desk.redis()) as redis:
        info: Any = redis.info("server")
        os.kill(int(info["process_id"]), signal.SIGKILL)
        eventually(lambda: _is_gone(redis))
    folder = Path(world.desk.values["SERVERS_INSTANCE"]) / "redis" / "appendonlydir"
    last = max(folder.glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))
    size = last.stat().st_size
    lost = min(world.rng.randrange(1, CUT_BYTES_MOST), size // 2)
    os.truncate(last, size - lost)
    server_command(world.desk, "start", "redis")
    with closing(world.desk.redis()) as redis:
        world.emptied |= not redis.exists(f"{world.desk.prefix}{QUEUE}")


def _is_gone(redis: Redis) -> bool:
    try:
        redis.ping()
    except RedisError:
        return True
    return False


def flush_all(world: World) -> None:
    with closing(world.desk.redis()) as redis:
        redis.flushall()
    world.emptied = True


def delete_ours(world: World) -> None:
    """Every key of our prefix: streams, leases, members, the mark of the generation."""
    with closing(world.desk.redis()) as redis:
        for name in ("streams:*", "fleet:*"):
            keys = list(redis.scan_iter(match=f"{world.desk.prefix}{name}", count=1000))
            if keys:
                redis.delete(*keys)


def delete_stream(world: World) -> None:
    stream = world.rng.choice(STREAMS)
    number = world.rng.randrange(world.desk.settings().partitions)
    with closing(world.desk.redis()) as redis:
        redis.delete(stream_key(world.desk.prefix, stream, number))


def server_command(desk: Desk, *words: str) -> None:
    """One command of the desk's own servers. Raises RuntimeError with what it printed."""
    done = subprocess.run(
        [sys.executable, "deploy/servers/servers.py", *words],
        cwd=ROOT,
        env={**os.environ, "SERVERS": desk.values["SERVERS_FLAVOUR"]},
        capture_output=True,
        text=True,
        timeout=SERVER_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"servers.py {' '.join(words)}: {done.stdout}{done.stderr}")


FAULTS: Sequence[Fault] = (
    Fault("kill -9 of a node", 6, "ours", kill_node),
    Fault("kill -9 of a relay", 4, "ours", kill_relay),
    Fault("SIGTERM of a node", 3, "ours", end_node),
    Fault("node asleep past its lease", 4, "ours", stop_node),
    Fault("node asleep in a transaction", 4, "ours", stop_in_transaction),
    Fault("relay asleep", 2, "ours", stop_relay),
    Fault("whole fleet down", 2, "ours", fleet_down),
    Fault("Redis connections killed", 4, "ours", kill_redis_connections),
    Fault("MySQL sessions killed", 4, "ours", kill_mysql_sessions),
    Fault("COMMIT or its reply lost", 6, "ours", lose_commits),
    Fault("replies of MySQL lost", 2, "ours", mute_mysql),
    Fault("replies of Redis lost", 3, "ours", mute_redis),
    Fault("MySQL's network stands still", 2, "ours", hold_mysql),
    Fault("Redis' network stands still", 3, "ours", hold_redis),
    Fault("fleet parted from Redis", 2, "ours", part_from_redis),
    Fault("MySQL killed, restarted", 3, "servers", kill_mysql),
    Fault("Redis killed, restarted", 3, "servers", kill_redis),
    Fault("Redis at its memory limit", 3, "servers", fill_redis),
    Fault("Redis killed, AOF cut", 5, "loss", cut_aof),
    Fault("FLUSHALL", 3, "loss", flush_all),
    Fault("all our Redis keys deleted", 2, "ours_loss", delete_ours),
    Fault("one stream deleted", 5, "ours_loss", delete_stream),
)
