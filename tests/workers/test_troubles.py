"""The last errors, read by the role `metrics` from real servers; and `fleet status --watch`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from shared.cdc.checkpoint import NOTHING, Place, Report, Stopped
from shared.cdc.log import ChangeLog
from shared.changes import Offset, Position
from shared.settings import Settings
from tests.runtime_world import World, fill
from tests.waiting import eventually
from tests.workers.conftest import Fleet
from tests.workers.fleet_env import forget_rq
from workers.exposure.exporter import Exporter
from workers.jobs import operator
from workers.page.look import errors_of, last_errors
from workers.troubles import SHOWN, WHY_CHARACTERS, Trouble

pytestmark = pytest.mark.database

AT = Position("server", "log.000001", 4, "", "")
SettingsFor = Callable[..., Settings]


@pytest.fixture
def watching(settings_for: SettingsFor) -> Iterator[Settings]:
    forget_rq()
    yield settings_for("metrics")
    forget_rq()


def of(found: list[Trouble], alert: str) -> list[Trouble]:
    return [one for one in found if one.alert == alert]


def suspend(world: World, account: int, error: str, state: str = "suspended") -> None:
    world.run(
        "INSERT INTO fleet_sync_accounts (account_id, venue, product, egress, state, failures,"
        " error) VALUES (%s, 'binance', 'linear', 'eu', %s, 3, %s)", account, state, error,
    )  # fmt: skip


def test_nothing_wrong_is_nothing_told(world: World, watching: Settings) -> None:
    with world.reading() as reader:
        eventually(reader.ready)
    assert last_errors(watching) == []


def test_every_place_where_something_failed_is_told_with_what_to_do(
    world: World, watching: Settings
) -> None:
    entry = world.add(7, "{")
    with world.reading():
        eventually(world.parked)
    world.run("UPDATE fleet_offsets SET halted_reason = 'out of ideas' WHERE partition_no = 1")
    world.run("INSERT INTO fleet_breaks (kind, account_id, identity, details, cause) VALUES"
              " ('identity', 7, 'a', '{}', NULL), ('cash_conflict', 8, 'b', '{}', 'unknown')")
    world.run("INSERT INTO fleet_quarantine (token, queue, reason, payload)"
              " VALUES ('t1', 'fleet', 'no JSON', 'x')")
    suspend(world, 7, "the key is refused")
    suspend(world, 8, "timed out", "active")
    world.run("INSERT INTO fleet_stream_gaps (account_id, cause, from_ms) VALUES (8, 'lost', 5)")
    world.run("INSERT INTO fleet_cdc_quarantine (epoch, seq, row_index, part, table_name, op,"
              " reason, header, encoding, payload)"
              " VALUES (1, 9, 0, 0, 'users', 'u', 'too long', '', 'p', '')")
    told = {(one.alert, one.where, one.why, one.do) for one in last_errors(watching)}
    assert {(alert, do) for alert, _, _, do in told} >= {
        ("FleetEventsParked", f"fleet parked show {entry}"),
        ("FleetPartitionHalted", "mend the handler, deploy, fleet parked resume"),
        ("FleetPayloadsQuarantined", "fleet laravel quarantine show t1"),
        ("FleetAccountsSuspended", "the user stores another key in the application"),
        ("FleetSyncFailing", "fleet sync --account 8"),
        ("FleetRowsQuarantined", "mend the cause, then fleet cdc quarantine replay --seq 9"),
    }
    assert {(alert, where, why) for alert, where, why, _ in told} >= {
        ("FleetPartitionHalted", "orders:1", "out of ideas"),
        ("FleetBooksBroken", "identity of account 7", "its cause is not known yet"),
        ("FleetBreaksOpen", "cash_conflict of account 8", "cause: unknown"),
        ("FleetAccountsSuspended", "account 7 at binance", "suspended: the key is refused"),
        ("FleetStreamsDown", "user stream of account 8 at binance", "down: lost"),
    }


def test_the_newest_few_of_each_kind_are_told_short_and_masked(
    world: World, watching: Settings
) -> None:
    ids = [world.add(7, "{") for _ in range(SHOWN + 2)]
    with world.reading():
        eventually(lambda: len(world.parked()) == SHOWN + 2)
    password = watching.mysql.password
    assert password is not None
    world.run("UPDATE fleet_parked SET error = %s",
              f"at\n{password.get_secret_value()} {'x' * 900}")
    parked = of(last_errors(watching), "FleetEventsParked")
    assert [one.do.split()[-1] for one in parked] == ids[:1:-1]
    assert all(len(one.why) == WHY_CHARACTERS and "at ***" in one.why for one in parked)
    assert all(one.at is not None for one in parked)


def test_a_stopped_source_and_a_failed_operator_job_are_told(
    world: World, watching: Settings, settings_for: SettingsFor
) -> None:
    stream = ChangeLog(world.redis, watching.prefix)
    begun = stream.rewind(None, NOTHING, Place(1, 9, AT, "f"), 5)
    stream.stop(begun.fence, Stopped("purged", "the log was purged", "fleet cdc restart", 5))
    at = Offset(1, 9, 0, whole=True, position=AT)
    stream.report("audit", Report(at, 5, "it waits"))
    with_everything = settings_for("rq")
    job = operator.enqueue(with_everything, "replay_parked", {"stream": 5}, actor="alice")
    fail(with_everything, job)
    found = last_errors(watching)
    (source,) = of(found, "FleetCaptureStopped")
    assert (source.why, source.do) == ("the log was purged", "fleet cdc restart")
    (sink,) = of(found, "FleetSinkBehind")
    assert (sink.where, sink.why) == ("the sink audit", "it waits")
    (failed,) = of(found, "FleetOperatorJobsFail")
    assert (failed.where, failed.why) == (
        "operator job replay_parked, by alice", "ValueError: nothing works",
    )  # fmt: skip


def fail(settings: Settings, job_id: str) -> None:
    """As RQ's worker ends a job that raised in its last try."""
    queue = operator.queue(settings)
    from rq.job import Job  # noqa: PLC0415 - after use_prefix

    job = Job.fetch(job_id, connection=queue.connection, serializer=queue.serializer)
    with closing(queue.connection), queue.connection.pipeline() as pipe:
        job.set_status("failed", pipeline=pipe)
        job._handle_failure("Traceback\nValueError: nothing works", pipe, "worker")
        pipe.execute()


def test_one_server_that_is_away_hides_only_its_own(
    world: World, settings_for: SettingsFor
) -> None:
    forget_rq()
    world.run("UPDATE fleet_offsets SET halted_reason = 'why' WHERE partition_no = 1")
    suspend(world, 7, "the key is refused")
    away = settings_for("metrics", FLEET_BROKER_URL="redis://127.0.0.1:1/2")
    assert of(last_errors(away), "FleetAccountsSuspended")
    forget_rq()


def test_watch_reads_everything_as_the_role_of_the_command_line(
    world: World, fleet: Fleet, settings_for: SettingsFor
) -> None:
    forget_rq()
    world.add(7, fill(7, 1), type_="order.eaten.1")
    with world.reading():
        eventually(world.parked)
    exporter = Exporter(settings_for("cli"))
    eventually(lambda: exporter.turn() and not exporter.errors)
    assert list(errors_of(settings_for("cli"))())
    shown = fleet("status", "--watch")
    assert shown.exit_code == 0, shown.output
    assert "1 events of orders are parked: unknown_type" in shown.output
    assert "fleet parked show" in shown.output
    forget_rq()
