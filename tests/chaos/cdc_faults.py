"""What goes wrong with change capture in a storm: one function per fault, one row in FAULTS.

A fault either is over when its function returns, or plans its own end with `storm.later`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from random import Random
from typing import Any, Literal, NamedTuple, Protocol

import MySQLdb
import psycopg
from redis.exceptions import RedisError

from shared.cdc.keys import cdc_keys
from shared.errors import FleetError
from shared.mysql.connection import connect
from tests.chaos.cdc_tables import CAPTURED
from tests.chaos.cdc_world import PREFIX, CaptureWorld, rows
from tests.chaos.fleet import Crew, Member

KEYS = cdc_keys(PREFIX)
SLEEP = (1.5, 4.0)  # longer than the lease of a collector in cdc_node
CATCH_SECONDS = 1.5
LOCK_SECONDS = 2
AGO = (0.5, 4.0)  # seconds between a copy and its return
AUDIT_OFFSET = "SELECT * FROM fleet_cdc_offset WHERE sink = 'audit'"
NOBODY = ("127.0.0.1", "1")
HISTORY_TABLES = (
    "change_event", "row_state", "position_history", "pnl_history", "fill_history",
    "rollup_changes", "rollup_positions", "rollup_pnl", "rollup_trading", "cdc_offset",
    "cdc_staging", "cdc_quarantine", "cdc_batch",
)  # fmt: skip

Reach = Literal["processes", "source", "redis", "sinks", "operator"]


class Storm(Protocol):
    """What a fault may touch."""

    world: CaptureWorld
    crew: Crew[Member]
    rng: Random
    waiting: set[str]  # what is to be restored

    def later(self, seconds: float, act: Callable[[], None]) -> None: ...


class Fault(NamedTuple):
    """strike returns False when the fault did not come about."""

    name: str
    weight: int
    reach: Reach
    strike: Callable[[Storm], bool | None]


# -- processes -------------------------------------------------------------------------------------


def of(storm: Storm, role: str) -> Member:
    return storm.rng.choice([one for one in storm.crew.members if one.name.startswith(role)])


def kill(role: str, storm: Storm) -> None:
    of(storm, role).send(signal.SIGKILL)


def kill_all(storm: Storm) -> None:
    for member in storm.crew.members:
        member.send(signal.SIGKILL)


def kill_in_transaction(storm: Storm) -> bool:
    """Both collectors, when the stream ends inside a transaction: they are asleep until it does."""
    collectors = [one for one in storm.crew.members if one.name.startswith("collector")]
    with closing(storm.world.client()) as client:
        end = time.monotonic() + CATCH_SECONDS
        while time.monotonic() < end:
            with suppress(RedisError):
                found: Any = client.hmget(KEYS.checkpoint, "head", "seq")
                if found[0] and found[1] and int(found[0].split(b"-")[0]) > int(found[1]):
                    for member in collectors:
                        member.send(signal.SIGKILL)
                    return True
            time.sleep(0.002)
    return False


def end_gracefully(storm: Storm) -> None:
    member = storm.rng.choice(storm.crew.members)
    member.killed = True
    member.send(signal.SIGTERM)


def sleep(role: str, storm: Storm) -> bool:
    """A zombie: another one takes over, and then it goes on as if nothing had happened."""
    member = of(storm, role)
    if member.asleep:
        return False
    member.send(signal.SIGSTOP)
    storm.later(storm.rng.uniform(*SLEEP), partial(member.send, signal.SIGCONT))
    return True


# -- the source ------------------------------------------------------------------------------------


def kill_dumps(storm: Storm) -> None:
    """The dump thread, each second, for some seconds."""
    for second in range(storm.rng.randrange(2, 5)):
        storm.later(second, partial(kill_sessions, storm.world, dumps_only=True))


def kill_sessions(world: CaptureWorld, *, dumps_only: bool = False) -> None:
    with closing(connect(world.mysql.where)) as connection:
        for session, user, command in rows(
            connection, "SELECT id, user, command FROM information_schema.processlist"
        ):
            ours = user.startswith("storm_") and not dumps_only
            if ours or command.startswith("Binlog Dump"):
                with suppress(MySQLdb.Error):  # it may have ended by itself
                    connection.cursor().execute(f"KILL {int(session)}")


def kill_ours(storm: Storm) -> None:
    kill_sessions(storm.world)


def next_file(storm: Storm) -> None:
    storm.world.mysql.run("FLUSH BINARY LOGS")


def kill_mysql(storm: Storm) -> None:
    storm.world.mysql.kill()
    storm.world.mysql.start()


# -- Redis -----------------------------------------------------------------------------------------


def flush_all(storm: Storm) -> None:
    with closing(storm.world.client()) as client:
        client.flushall()


def delete_key(storm: Storm) -> None:
    with closing(storm.world.client()) as client:
        client.delete(storm.rng.choice((KEYS.stream, KEYS.checkpoint, KEYS.sinks)))


def set_redis_back(storm: Storm) -> None:
    """To what it was some moments ago, as from a file of then."""
    storm.world.redis.keep_copy()
    storm.later(storm.rng.uniform(*AGO), storm.world.redis.set_back)


def kill_redis(storm: Storm) -> None:
    """Nothing of it was on disk."""
    storm.world.redis.stop()
    storm.later(storm.rng.uniform(0.2, 2), storm.world.redis.start)


def read_only(storm: Storm) -> None:
    with closing(storm.world.client()) as client:
        client.replicaof(*NOBODY)
    storm.later(storm.rng.uniform(0.5, 3), partial(writable, storm.world))


def writable(world: CaptureWorld) -> None:
    with closing(world.client()) as client, suppress(RedisError):
        client.replicaof("NO", "ONE")


def no_memory(storm: Storm) -> None:
    storm.world.redis.fill_up()
    storm.later(storm.rng.uniform(0.5, 3), partial(memory, storm.world))


def memory(world: CaptureWorld) -> None:
    with suppress(RedisError):
        world.redis.make_room()


def wrong_type(storm: Storm) -> None:
    key = storm.rng.choice((KEYS.stream, KEYS.checkpoint))
    with closing(storm.world.client()) as client:
        client.set(key, "nothing of ours")
    storm.later(storm.rng.uniform(0.5, 3), partial(cure_type, storm.world))


def cure_type(world: CaptureWorld) -> None:
    """As the stop says: what no collector wrote goes."""
    with closing(world.client()) as client, suppress(RedisError):
        for key in (KEYS.stream, KEYS.checkpoint):
            if client.type(key) == b"string":
                client.delete(key)


# -- the sinks' databases --------------------------------------------------------------------------


def set_audit_back(storm: Storm) -> bool:
    """Restored from a backup of some moments ago. False: the sink has nothing yet, or another
    backup waits: rows that were read once more need not be those of this one.
    """
    if "audit" in storm.waiting:
        return False
    with closing(storm.world.mysql.connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(f"{AUDIT_OFFSET} AND epoch > 0")
        offset = cursor.fetchone()
        cursor.execute("SELECT * FROM fleet_cdc_staged")
        staged = cursor.fetchall()
        connection.commit()
    if offset is None:
        return False
    storm.waiting.add("audit")
    storm.later(storm.rng.uniform(*AGO), partial(_put_audit_back, storm, offset, staged))
    return True


def _put_audit_back(storm: Storm, offset: Sequence[Any], staged: Sequence[Any]) -> None:
    """Rows are only ever added, so those of then are all but the newer ones. A sink that sleeps
    holds the offset: then it is tried again.
    """
    whole = offset[2] - (not offset[4])
    with closing(storm.world.mysql.connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}")
        cursor.execute(f"{AUDIT_OFFSET} FOR UPDATE")
        cursor.execute("DELETE FROM fleet_cdc_offset WHERE sink = 'audit'")
        cursor.execute("DELETE FROM fleet_change_log WHERE seq > %s", (whole,))
        cursor.execute("DELETE FROM fleet_cdc_batches WHERE last_seq > %s", (whole,))
        cursor.execute("DELETE FROM fleet_cdc_staged")
        _put(cursor, "fleet_cdc_offset", [offset])
        _put(cursor, "fleet_cdc_staged", staged)
        connection.commit()
    storm.waiting.discard("audit")


def _put(cursor: Any, table: str, found: Sequence[Any]) -> None:
    if found:
        marks = ", ".join(["%s"] * len(found[0]))
        cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", found)  # noqa: S608 - our own names


def set_history_back(storm: Storm) -> None:
    with psycopg.connect(storm.world.timescale.owner) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        copies = {table: _copied(connection, table) for table in HISTORY_TABLES}
    storm.later(storm.rng.uniform(*AGO), partial(_put_history_back, storm.world, copies))


def _put_history_back(world: CaptureWorld, copies: Mapping[str, bytes]) -> None:
    with psycopg.connect(world.timescale.owner) as connection:
        connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'".encode())
        connection.execute(f"TRUNCATE {', '.join(f'fleet.{name}' for name in copies)}".encode())
        for table, content in copies.items():
            with connection.cursor().copy(f"COPY fleet.{table} FROM STDIN".encode()) as copy:
                copy.write(content)


def _copied(connection: psycopg.Connection[Any], table: str) -> bytes:
    statement = f"COPY (SELECT * FROM fleet.{table}) TO STDOUT"  # noqa: S608 - our own names
    with connection.cursor().copy(statement.encode()) as copy:
        return b"".join(bytes(block) for block in copy)


def end_history_sessions(storm: Storm) -> None:
    with psycopg.connect(storm.world.timescale_root, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()",
            (storm.world.timescale.name,),
        )


# -- who operates it -------------------------------------------------------------------------------


def read_again(storm: Storm) -> None:
    """A snapshot of one table while it is written: every row must be as the log has it."""
    stream = storm.world.stream()
    with closing(stream.redis):
        stream.request("snapshot", "the storm", [storm.rng.choice(CAPTURED)])


def select_otherwise(storm: Storm) -> None:
    """One more table is captured, or no longer: an epoch begins where the log is, and everything
    is read again behind it.
    """
    collectors = [one for one in storm.crew.members if one.name.startswith("collector")]
    chosen = storm.world.select_otherwise()
    for member in collectors:
        member.environ = {**member.environ, "FLEET_CDC_TABLES": chosen}
        member.send(signal.SIGKILL)


FAULTS: Sequence[Fault] = (
    Fault("kill -9 of a collector", 5, "processes", partial(kill, "collector")),
    Fault("kill -9 of the audit sink", 4, "processes", partial(kill, "audit")),
    Fault("kill -9 of the Timescale sink", 4, "processes", partial(kill, "timescale")),
    Fault("kill -9 of collectors inside a transaction", 4, "processes", kill_in_transaction),
    Fault("kill -9 of everything", 2, "processes", kill_all),
    Fault("SIGTERM", 2, "processes", end_gracefully),
    Fault("a collector asleep past its lease", 4, "processes", partial(sleep, "collector")),
    Fault("an audit sink asleep", 3, "processes", partial(sleep, "audit")),
    Fault("the Timescale sink asleep", 1, "processes", partial(sleep, "timescale")),
    Fault("dump thread killed each second", 4, "source", kill_dumps),
    Fault("sessions of MySQL killed", 3, "source", kill_ours),
    Fault("FLUSH BINARY LOGS", 3, "source", next_file),
    Fault("MySQL killed, restarted", 1, "source", kill_mysql),
    Fault("FLUSHALL", 4, "redis", flush_all),
    Fault("one key deleted", 3, "redis", delete_key),
    Fault("Redis killed, nothing kept", 2, "redis", kill_redis),
    Fault("Redis set back to what it was", 4, "redis", set_redis_back),
    Fault("Redis read-only", 3, "redis", read_only),
    Fault("Redis without memory", 3, "redis", no_memory),
    Fault("wrong type at a key", 3, "redis", wrong_type),
    Fault("audit log restored", 4, "sinks", set_audit_back),
    Fault("TimescaleDB restored", 4, "sinks", set_history_back),
    Fault("sessions of TimescaleDB ended", 3, "sinks", end_history_sessions),
    Fault("a table read again", 6, "operator", read_again),
    Fault("another selection of tables", 2, "operator", select_otherwise),
)

CURES = (writable, memory, cure_type)
"""Whatever a fault of Redis has left."""

Unreachable = (FleetError, MySQLdb.Error, RedisError, psycopg.Error)
"""What a fault itself may meet while another one goes on."""
