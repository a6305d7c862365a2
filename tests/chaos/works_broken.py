"""What is done to the books, the queues, the exchanges, the log and the grants of a fleet, and the
cures, as the runbooks say them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any

import orjson

from tests.chaos.own_fleet import LARAVEL_SCHEMA, NOTES, OwnFleet, user_of
from tests.event_samples import SIGNAL
from tests.laravel_queues import QueueView
from tests.laravel_world import object_payload
from workers.lease import broker_redis

HANDLER_FAILURES = 26  # one more than a partition takes before it halts
MESSAGES = 1_100
FENCED = 4
HOURS = 60  # of a thousand accounts
ROWS = 20
JOB_CLASS = "App\\Jobs\\Fleet\\ReplayParked"
JOB = (
    f'O:{len(JOB_CLASS)}:"{JOB_CLASS}":2:'
    '{s:6:"stream";s:6:"orders";s:3:"key";s:1:"0";}'
)  # fmt: skip
NO_CLASS = "App\\Jobs\\Fleet\\ReplayParkd"


# -- the books -------------------------------------------------------------------------------------


def poison(fleet: OwnFleet) -> None:
    """An amount as a JSON number, and no JSON at all."""
    fleet.trade(43, qty=1.5)
    fleet.record("order.filled.1", 43, "{")


def skip_poison(fleet: OwnFleet) -> None:
    for reason in ("malformed", "invalid_json"):
        fleet.fleet("parked", "skip", "--parked-for", reason, "--key", "43",
                    "--reason", "sent again with amounts as text")  # fmt: skip


def halt(fleet: OwnFleet) -> None:
    """A trigger that somebody put on a table of ours refuses what the handler writes."""
    fleet.mysql.run(
        "CREATE TRIGGER somebodys BEFORE INSERT ON fleet_signals FOR EACH ROW"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not on my watch'"
    )
    numbers = range(HANDLER_FAILURES)
    fleet.record("signal.received.1", SIGNAL["channel_id"],
                 *({**SIGNAL, "message_id": str(number)} for number in numbers))  # fmt: skip


def resume(fleet: OwnFleet) -> None:
    fleet.mysql.run("DROP TRIGGER IF EXISTS somebodys")
    fleet.fleet("parked", "resume")
    fleet.fleet("parked", "replay", "--parked-for", "handler_failed")


def damage(fleet: OwnFleet) -> None:
    """Somebody mends a figure by hand."""
    fleet.trade(44, 2)
    fleet.until(lambda: fleet.mysql.run("SELECT 1 FROM fleet_pnl_daily WHERE account_id = 44"))
    fleet.mysql.run("UPDATE fleet_pnl_daily SET realized = realized + 1 WHERE account_id = 44")
    fleet.mysql.run("UPDATE fleet_account_state SET check_due = 1 WHERE account_id = 44")


def rebuild(fleet: OwnFleet) -> None:
    fleet.fleet("rebuild", "--account", "44")


def contradict(fleet: OwnFleet) -> None:
    """One fill, told twice with different prices."""
    fleet.trade(45, trade_id="twice", side="buy")
    fleet.trade(45, trade_id="twice", side="buy", price="101")


def close_breaks(fleet: OwnFleet) -> None:
    for (number,) in fleet.mysql.run("SELECT id FROM fleet_breaks WHERE closed_at IS NULL"):
        fleet.fleet("breaks", "close", str(number), "--reason", "the venue says 100")


def refuse_one(fleet: OwnFleet) -> None:
    fleet.mysql.run(
        "CREATE TRIGGER somebodys BEFORE INSERT ON fleet_signals FOR EACH ROW"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not on my watch'"
    )
    fleet.record("signal.received.1", SIGNAL["channel_id"], {**SIGNAL, "message_id": "refused"})


def accept(fleet: OwnFleet) -> None:
    fleet.mysql.run("DROP TRIGGER IF EXISTS somebodys")
    fleet.fleet("parked", "replay", "--parked-for", "handler_failed")


def take_partitions(fleet: OwnFleet) -> None:
    """As nodes do whose leases are in another Redis: offsets go to a higher epoch, again and again,
    while batches of ours are under way.
    """
    for _ in range(FENCED):
        was = _fenced(fleet)
        fleet.mysql.run("UPDATE fleet_offsets SET epoch = epoch + 1")
        fleet.trade(count=20)
        fleet.until(lambda was=was: _fenced(fleet) > was)  # type: ignore[misc]


def _fenced(fleet: OwnFleet) -> float:
    text = (fleet.ask("streams", "/metrics") or b"").decode()
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith("fleet_fenced_total"))  # fmt: skip


def write_equity(fleet: OwnFleet) -> None:
    """Hours of many accounts at once, and nobody copies them."""
    fleet.kill("jobs")
    fleet.mysql.run(
        "INSERT INTO fleet_equity (account_id, asset, at, cash)"  # noqa: S608 - ours
        " WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 999)"
        " SELECT 1000 + a.n, 'USDT', '2026-01-01' + INTERVAL b.n HOUR, 100"
        f" FROM n AS a JOIN n AS b ON b.n < {HOURS}"
    )


# -- Laravel's queues ------------------------------------------------------------------------------


def push(fleet: OwnFleet, payload: str | Mapping[str, object]) -> None:
    with closing(fleet.client()) as redis:
        QueueView(redis, fleet.settings("cli").prefix).push(payload)


def push_bytes(fleet: OwnFleet) -> None:
    """What no worker can read."""
    push(fleet, "{")


def push_job(fleet: OwnFleet) -> None:
    push(fleet, object_payload(JOB_CLASS, JOB))


def push_unknown(fleet: OwnFleet) -> None:
    push(fleet, object_payload(NO_CLASS, JOB.replace(JOB_CLASS, NO_CLASS)))


def forget_failed(fleet: OwnFleet) -> None:
    """As `php artisan queue:forget` does."""
    fleet.mysql.run("DELETE FROM failed_jobs", database=LARAVEL_SCHEMA)


def drop_payloads(fleet: OwnFleet) -> None:
    for (token,) in fleet.mysql.run("SELECT token FROM fleet_quarantine"):
        fleet.fleet("laravel", "quarantine", "drop", str(token), "--yes")


def dispatch(fleet: OwnFleet) -> None:
    fleet.mysql.run(
        "INSERT INTO fleet_dispatches (uuid, queue, class, payload, delay_seconds)"
        " VALUES (UUID(), 'fleet-events', 'DayClosed', '{}', 0)"
    )


# -- exchanges -------------------------------------------------------------------------------------


def revoke(fleet: OwnFleet) -> None:
    fleet.exchange.do("change_account", venue="binance", api_key="key-1", revoked=True)
    fleet.fleet("sync", "--all")


def new_key(fleet: OwnFleet) -> None:
    """As the user does: another key at the exchange, and in the application."""
    fleet.exchange.do("rotate_key", venue="binance", api_key="key-1", new_key="key-1",
                      secret="secret-1")  # fmt: skip
    fleet.store_keys()


def ban(fleet: OwnFleet) -> None:
    fleet.exchange.do("fault", kind="banned", venue="binance", value=100, times=1)
    fleet.fleet("sync", "--all")


def fall_ill(fleet: OwnFleet) -> None:
    fleet.exchange.do("fault", kind="status", value=500, venue="bybit", times=None)
    fleet.fleet("sync", "--all")


def clear_faults(fleet: OwnFleet) -> None:
    fleet.exchange.do("clear_faults")


# -- change capture --------------------------------------------------------------------------------


def purge(fleet: OwnFleet) -> None:
    """The collector was away for longer than MySQL keeps its log."""
    fleet.kill("collector")
    for number in range(2):
        fleet.note(f"nobody read this {number}")
        fleet.mysql.run("FLUSH BINARY LOGS")
    # MariaDB keeps, without a word, what InnoDB may need after a crash: until its next checkpoint.
    fleet.until(lambda: _purged(fleet))
    fleet.start("collector")


def _purged(fleet: OwnFleet) -> bool:
    newest = fleet.mysql.run("SHOW BINARY LOGS")[-1][0]
    fleet.mysql.run(f"PURGE BINARY LOGS TO '{newest}'")
    return len(fleet.mysql.run("SHOW BINARY LOGS")) == 1


def restart_capture(fleet: OwnFleet) -> None:
    fleet.fleet("cdc", "restart", "--reason", "the log was purged")


def narrow(fleet: OwnFleet) -> None:
    """Once it is captured as it was."""
    fleet.note("with an author")
    captured = f"SELECT 1 FROM fleet_change_log WHERE table_name = '{NOTES}' LIMIT 1"  # noqa: S608
    fleet.until(lambda: fleet.mysql.run(captured))
    fleet.mysql.run(f"ALTER TABLE {NOTES} DROP COLUMN author", database=LARAVEL_SCHEMA)
    fleet.note("without an author")


def resync(fleet: OwnFleet) -> None:
    fleet.fleet("cdc", "resync", NOTES)


def refuse_rows(fleet: OwnFleet) -> None:
    fleet.mysql.run(
        "ALTER TABLE fleet_change_log ADD CONSTRAINT no_secrets"
        " CHECK (row_after NOT LIKE '%secret%')"
    )
    fleet.note("a secret")


def replay_rows(fleet: OwnFleet) -> None:
    fleet.mysql.run("ALTER TABLE fleet_change_log DROP CONSTRAINT no_secrets")
    fleet.fleet("cdc", "quarantine", "replay", "--sink", "audit")


def forget_changes(fleet: OwnFleet) -> None:
    """Of the newest transactions that both sinks have."""
    newest = f"SELECT seq FROM fleet.change_event ORDER BY seq DESC LIMIT {ROWS}"  # noqa: S608
    _history(fleet, f"DELETE FROM fleet.change_event WHERE seq IN ({newest})")  # noqa: S608


def slow_down(fleet: OwnFleet) -> None:
    _history(
        fleet,
        "CREATE FUNCTION fleet.somebodys() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(1); RETURN NEW; END $$",
        "CREATE TRIGGER somebodys BEFORE INSERT ON fleet.change_event"
        " FOR EACH ROW EXECUTE FUNCTION fleet.somebodys()",
    )


def speed_up(fleet: OwnFleet) -> None:
    _history(fleet, "DROP TRIGGER somebodys ON fleet.change_event",
             "DROP FUNCTION fleet.somebodys()")  # fmt: skip


def _history(fleet: OwnFleet, *statements: str) -> None:
    assert fleet.timescale is not None
    for statement in statements:
        fleet.timescale.run(statement)


def expire(seconds: int) -> Callable[[OwnFleet], object]:
    return lambda fleet: fleet.mysql.run(f"SET GLOBAL binlog_expire_logs_seconds = {seconds}")


# -- the fleet itself ------------------------------------------------------------------------------


def take_grant(role: str, table: str) -> Callable[[OwnFleet], object]:
    """As a careless clean-up of grants does."""
    return lambda fleet: fleet.mysql.run(
        f"REVOKE SELECT ON `app`.`{table}` FROM '{user_of(role)}'@'%'"  # noqa: S608 - ours
    )


def give_grants(role: str) -> Callable[[OwnFleet], object]:
    """The lines that `fleet doctor --grants` prints."""
    return lambda fleet: fleet.grant(role)


def fail_a_job(fleet: OwnFleet) -> None:
    """Somebody mistypes an account."""
    fleet.trade(44, 2)
    with suppress(AssertionError):  # the command says that it failed
        fleet.fleet("rebuild", "--account", "999")


def pile_up(fleet: OwnFleet) -> None:
    """What beat sends while nobody works; the same message in many copies, for time's sake."""
    fleet.kill("jobs")
    settings = fleet.settings("cli")
    key = f"{settings.broker_prefix}fleet.jobs"
    with closing(broker_redis(settings)) as client:
        redis: Any = client
        fleet.until(lambda: redis.llen(key))
        message = orjson.loads(redis.lindex(key, 0))
        for _ in range(MESSAGES):
            name = str(uuid.uuid4())
            message["headers"]["id"] = message["properties"]["delivery_tag"] = name
            redis.lpush(key, orjson.dumps(message))
