"""The ways to break a fleet: one row each, with the alert that must show and the cure that the
runbook names. `python -m tests.chaos --list` shows them, `--break NAME` does one.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tests.chaos import servers_broken as broken
from tests.chaos import works_broken as work
from tests.chaos.own_fleet import NOTES, OwnFleet

Act = Callable[[OwnFleet], object]

class Breakage(NamedTuple):
    """alert: that must show, and must be gone after the cure. what: is done. cure: in the words of
    the runbook; `cures` does it. roles: what must run for it to be seen, with `metrics`. also:
    other alerts that it may show. cheap: seen at the exporter's next look, also
    beside the other cheap ones.
    """

    alert: str
    what: str
    breaks: Act
    cure: str
    cures: Act
    roles: tuple[str, ...]
    also: tuple[str, ...] = ()
    cheap: bool = False


# -- roles -----------------------------------------------------------------------------------------


def _start(*roles: str) -> Act:
    return lambda fleet: fleet.start(*roles)


def _killed(role: str, then: Act = lambda _: None) -> Act:
    def breaks(fleet: OwnFleet) -> None:
        fleet.kill(role)
        then(fleet)

    return breaks


def _asleep(role: str, then: Act = lambda _: None) -> Act:
    def breaks(fleet: OwnFleet) -> None:
        fleet.send(role, signal.SIGSTOP)
        then(fleet)

    return breaks


def _awake(role: str) -> Act:
    return lambda fleet: fleet.send(role, signal.SIGCONT)


# -- the table -------------------------------------------------------------------------------------

_BOOKS = ("streams", "relay")
_TASKS = ("beat", "jobs")
_EXCHANGES = ("sync", *_TASKS)
_CAPTURE = ("collector", "audit", "timescale")
_NO_REDIS = (
    "FleetPartitionUnowned", "FleetOutboxOld", "FleetCollectFails", "FleetCaptureUnowned",
    "FleetCaptureLag", "FleetCaptureBehind", "FleetSinkSilent", "FleetScheduleLate",
    "FleetStreamsDown", "FleetRedisLost",
)  # fmt: skip
"""What follows where Redis takes no writes: its leases, reports and schedules stand there."""

BREAKAGES: Mapping[str, Breakage] = {
    "streams-killed": Breakage(
        "FleetPartitionUnowned", "kill -9 of every stream worker; nobody starts one",
        _killed("streams"), "start the role streams", _start("streams"), _BOOKS,
    ),
    "streams-asleep": Breakage(
        "FleetStreamLag", "the stream worker stands still (SIGSTOP), fills come in",
        _asleep("streams", OwnFleet.trade), "let it go on, or kill it and start another",
        _awake("streams"), _BOOKS,
        also=("FleetPartitionUnowned", "FleetBatchesFenced", "FleetOutboxOld"),
    ),
    "relay-killed": Breakage(
        "FleetOutboxOld", "kill -9 of the relay; Laravel goes on writing",
        _killed("relay", OwnFleet.trade), "start the role relay", _start("relay"), _BOOKS,
    ),
    "dispatch-waits": Breakage(
        "FleetDispatchesOld", "kill -9 of the relay; a job towards Laravel is due",
        _killed("relay", work.dispatch), "start the role relay", _start("relay"), _BOOKS,
    ),
    "collector-killed": Breakage(
        "FleetCaptureUnowned", "kill -9 of the collector", _killed("collector"),
        "start the role collector", _start("collector"), _CAPTURE,
        ("FleetCaptureLag", "FleetCaptureBehind"),
    ),
    "collector-asleep": Breakage(
        "FleetCaptureLag", "the collector stands still (SIGSTOP)", _asleep("collector"),
        "let it go on, or kill it and start another", _awake("collector"), _CAPTURE,
        ("FleetCaptureUnowned", "FleetCaptureBehind"),
    ),
    "collector-slow": Breakage(
        "FleetCaptureBehind", "a poor line from MySQL to the collector", broken.slow_source,
        "mend the line; it catches up by itself", broken.mend_source, _CAPTURE,
        ("FleetCaptureLag",),
    ),
    "audit-killed": Breakage(
        "FleetSinkSilent", "kill -9 of the sink of the audit log", _killed("audit"),
        "start the role audit", _start("audit"), _CAPTURE, ("FleetSinkBehind",),
    ),
    "beat-killed": Breakage(
        "FleetScheduleLate", "kill -9 of beat", _killed("beat"), "start the role beat",
        _start("beat"), _TASKS,
    ),
    "jobs-killed": Breakage(
        "FleetScheduleLate", "kill -9 of the workers of scheduled tasks", _killed("jobs"),
        "start the role jobs", _start("jobs"), _TASKS,
    ),
    "sync-killed": Breakage(
        "FleetScheduleLate", "kill -9 of the sync", _killed("sync"), "start the role sync",
        _start("sync"), _EXCHANGES, ("FleetSyncOverdue",),
    ),
    "userstreams-killed": Breakage(
        "FleetStreamsDown", "kill -9 of the user streams", _killed("userstreams"),
        "start the role userstreams", _start("userstreams"), ("userstreams", *_EXCHANGES),
    ),
    "laravel-killed": Breakage(
        "FleetLaravelQueueOld", "kill -9 of Laravel's worker; a job is pushed",
        _killed("laravel", work.push_job), "start the role laravel", _start("laravel"),
        ("laravel",),
    ),
    "metrics-killed": Breakage(
        "FleetMetricsMissing", "kill -9 of the exporter", _killed("metrics"),
        "start the role metrics", _start("metrics"), (),
    ),
    "redis-away": Breakage(
        "FleetServerAway", "kill -9 of Redis; it has its file", broken.stop_redis,
        "start Redis", broken.start_redis, _BOOKS,
        _NO_REDIS,
    ),
    "redis-read-only": Breakage(
        "FleetOutboxOld", "Redis became the replica of a server that is not there",
        broken.make_replica, "REPLICAOF NO ONE, or point REDIS_HOST at the master",
        broken.make_master, _BOOKS, _NO_REDIS,
    ),
    "redis-full": Breakage(
        "FleetOutboxOld", "Redis has no memory left (maxmemory)", broken.fill_redis,
        "CONFIG SET maxmemory, or free what is not ours", broken.make_room, _BOOKS,
        _NO_REDIS,
    ),
    "redis-cannot-save": Breakage(
        "FleetRedisNotDurable", "Redis cannot write its file", broken.spoil_saving,
        "make room on its disk, then BGSAVE", broken.mend_saving, (), cheap=True,
    ),
    "redis-lost": Breakage(
        "FleetRedisLost", "FLUSHALL", broken.flush_redis,
        "nothing; fleet recover where Laravel writes to the streams itself", broken.recover,
        (*_BOOKS, "rq", *_CAPTURE),
        ("FleetPartitionUnowned", "FleetCaptureUnowned", "FleetCaptureBehind",
         "FleetScheduleLate"),
    ),
    "budget-full": Breakage(
        "FleetRedisBudget", "no stream worker, and fills of several MB", broken.fill_budget,
        "start the role streams; the trim of the next minute makes room", _start("streams"),
        (*_BOOKS, *_TASKS), ("FleetPartitionUnowned", "FleetStreamLag", "FleetOutboxOld"),
    ),
    "mysql-away": Breakage(
        "FleetServerAway", "kill -9 of MySQL", broken.stop_mysql, "start MySQL",
        broken.start_mysql, _BOOKS,
        ("FleetCollectFails", "FleetCaptureLag", "FleetCaptureBehind", "FleetScheduleLate",
         "FleetStreamLag"),
    ),
    "timescale-away": Breakage(
        "FleetServerAway", "TimescaleDB resets every connection", broken.stop_timescale,
        "start TimescaleDB", broken.start_timescale, _CAPTURE,
        ("FleetSinkSilent", "FleetSinkBehind"),
    ),
    "poison-event": Breakage(
        "FleetEventsParked", "an amount as a JSON number, and an event that is no JSON",
        work.poison, "the producer sends it again as it should be; fleet parked skip --reason …",
        work.skip_poison, _BOOKS, cheap=True,
    ),
    "handler-fails": Breakage(
        "FleetPartitionHalted", "a trigger refuses what a handler writes, 26 times", work.halt,
        "drop the trigger; fleet parked resume; fleet parked replay --parked-for handler_failed",
        work.resume, (*_BOOKS, "rq"), ("FleetEventsParked", "FleetBatchesFail", "FleetStreamLag"),
        cheap=True,
    ),
    "figure-mended-by-hand": Breakage(
        "FleetBooksBroken", "UPDATE fleet_pnl_daily SET realized = realized + 1", work.damage,
        "fleet rebuild --account 44", work.rebuild, (*_BOOKS, *_TASKS, "rq"),
        ("FleetBreaksOpen",),
    ),
    "one-event-fails": Breakage(
        "FleetBatchesFail", "a trigger refuses what a handler writes, once", work.refuse_one,
        "drop the trigger; fleet parked replay --parked-for handler_failed", work.accept,
        _BOOKS, ("FleetEventsParked",),
    ),
    "second-fleet": Breakage(
        "FleetBatchesFenced", "nodes with another Redis take our partitions in MySQL",
        work.take_partitions, "end those that do not belong to this schema", lambda _: None,
        _BOOKS,
    ),
    "history-rows-deleted": Breakage(
        "FleetQualityMissed", "somebody deletes changes from TimescaleDB", work.forget_changes,
        "fleet cdc verify; fleet cdc resync TABLE of what differs", work.resync,
        (*_CAPTURE, *_TASKS),
    ),
    "equity-piles-up": Breakage(
        "FleetEquityCopyWaits", "kill -9 of jobs; more than 50,000 rows of equity wait",
        work.write_equity, "start the role jobs", _start("jobs"), (*_TASKS, *_CAPTURE),
        ("FleetScheduleLate",),
    ),
    "sink-slow": Breakage(
        "FleetSinkBehind", "a trigger on TimescaleDB's table takes a second for each row",
        work.slow_down, "drop the trigger; it catches up by itself", work.speed_up, _CAPTURE,
        ("FleetSinkSilent",),
    ),
    "fill-told-twice": Breakage(
        "FleetBreaksOpen", "two reports of one fill with different prices", work.contradict,
        "find out which is right; fleet breaks close N --reason …", work.close_breaks, _BOOKS,
        cheap=True,
    ),
    "payload-unreadable": Breakage(
        "FleetPayloadsQuarantined", "no JSON on Laravel's queue", work.push_bytes,
        "fleet laravel quarantine list, show; then requeue --file or drop", work.drop_payloads,
        ("laravel",),
    ),
    "job-unknown": Breakage(
        "FleetLaravelJobsFailing", "a job whose class Python does not have", work.push_unknown,
        "php artisan queue:failed; mend it; queue:retry or queue:forget", work.forget_failed,
        ("laravel",),
    ),
    "key-refused": Breakage(
        "FleetAccountsSuspended", "the exchange revokes a key", work.revoke,
        "the user stores another key in the application", work.new_key, _EXCHANGES,
    ),
    "venue-bans-us": Breakage(
        "FleetVenuePaused", "a venue bans this address for 100 s", work.ban,
        "wait; who else uses the address?", work.clear_faults, _EXCHANGES,
        ("FleetSyncFailing",),
    ),
    "venue-ill": Breakage(
        "FleetSyncFailing", "a venue answers every request with 500", work.fall_ill,
        "wait; nothing is lost", work.clear_faults, _EXCHANGES,
    ),
    "binlog-purged": Breakage(
        "FleetCaptureStopped", "MySQL purged what was not captured", work.purge,
        "fleet cdc restart --reason …", work.restart_capture, _CAPTURE,
        ("FleetCaptureUnowned", "FleetCaptureBehind", "FleetPurgeNear"),
    ),
    "binlog-short": Breakage(
        "FleetPurgeNear", "binlog_expire_logs_seconds = 600", work.expire(600),
        "SET GLOBAL binlog_expire_logs_seconds = 604800", work.expire(604_800), _CAPTURE,
    ),
    "table-narrowed": Breakage(
        "FleetTablesStopped", "a migration drops a column of a captured table", work.narrow,
        f"fleet cdc resync {NOTES}", work.resync, _CAPTURE, cheap=True,
    ),
    "rows-refused": Breakage(
        "FleetRowsQuarantined", "a constraint refuses rows of the audit log", work.refuse_rows,
        "drop the constraint; fleet cdc quarantine replay", work.replay_rows, _CAPTURE,
    ),
    "grant-revoked": Breakage(
        "FleetCollectFails", "REVOKE SELECT on a table that the exporter reads",
        work.take_grant("metrics", "fleet_dispatches"), "the lines of fleet doctor --grants",
        work.give_grants("metrics"), (),
    ),
    "messages-pile-up": Breakage(
        "FleetTasksWaiting", "kill -9 of jobs; more than a thousand messages wait", work.pile_up,
        "start the role jobs", _start("jobs"), _TASKS, ("FleetScheduleLate",),
    ),
    "job-of-operator-fails": Breakage(
        "FleetOperatorJobsFail", "fleet rebuild of an account that nobody has", work.fail_a_job,
        "fleet rebuild --account 44", work.rebuild,
        ("rq", *_BOOKS),
    ),
}  # fmt: skip
