"""The audit log: who changed what, before and after, in a chain that shows what was altered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import MySQLdb
import pytest

from shared.cdc.errors import SourceStopped
from shared.changes import Change, Chunk, Row, row_key
from shared.endpoints import MySQLSettings
from shared.errors import LimitReached
from shared.mysql import change_log, change_log_months
from shared.mysql.change_log_rows import FIRST_HASH
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.change_world import (
    FILLS,
    NOTES,
    ORDERS,
    ChangeStream,
    created,
    deleted,
    message,
    order,
    read,
    updated,
)
from tests.sink_world import AuditUnderTest, LoopWorld
from workers.cdc.audit_proof import AuditProof, prove_audit
from workers.cdc.audit_retention import keep_audit
from workers.cdc.quarantine import replay

pytestmark = pytest.mark.database

FILL: Row = ["7", "t-1", "1.500000000000000000", "0.001000000000000000"]


class Audit:
    """A stream, the sink behind it, and an administrator who looks."""

    def __init__(self, under: AuditUnderTest, world: LoopWorld, stream: ChangeStream) -> None:
        self.under, self.world, self.stream = under, world, stream
        self.run = under.run

    def write(self, *transactions: list[Chunk]) -> None:
        self.stream.append([chunk for chunks in transactions for chunk in chunks])
        self.world.catch_up()

    def rows(self, columns: str, where: str = "table_name <> ''") -> list[Any]:
        return self.run(
            f"SELECT {columns} FROM fleet_change_log WHERE {where}"  # noqa: S608 - our own text
            " ORDER BY epoch, seq, row_index"
        )

    def proof(self) -> AuditProof:
        with closing(connect(self.under.settings.audit)) as connection:
            return prove_audit(connection)


@pytest.fixture
def audit(
    settings_for: Callable[..., Settings],
    mysql_root: MySQLSettings,
    fleet_schema: str,
    redis_root: Any,
    redis_prefix: str,
) -> Iterator[Audit]:
    stream = ChangeStream(redis_root, redis_prefix, chunk_rows=10)
    with closing(connect(mysql_root, fleet_schema)) as root:
        under = AuditUnderTest(settings_for, root)
        drop_partitions(under)
        yield Audit(under, LoopWorld(under, under.settings), stream)
        drop_partitions(under)


def drop_partitions(under: AuditUnderTest) -> None:
    """As a new log: one partition for all months."""
    under.run("ALTER TABLE fleet_change_log PARTITION BY RANGE (month)"
              " (PARTITION later VALUES LESS THAN MAXVALUE)")  # fmt: skip


# -- what a row says -------------------------------------------------------------------------------


def test_a_row_says_who_changed_what_when_and_where_it_stands_in_the_log(audit: Audit) -> None:
    before, after = order(5, note="Grüße 🚀"), order(5, status="filled", price="2")
    stream = audit.stream
    audit.write(stream.control(), stream.commit(updated(ORDERS, before, after), actor="user:7 r-1"))

    (found,) = audit.rows(
        "epoch, seq, row_index, table_name, row_key, op, derived, row_before, row_after,"
        " committed_at, gtid, file, pos, actor"
    )
    assert found[:7] == (1, 2, 0, "fleet_orders", '["5"]', "u", 0)
    assert json.loads(found[7]) == dict(zip(ORDERS.columns, before, strict=True))
    assert list(json.loads(found[8])) == list(ORDERS.columns)
    assert json.loads(found[8])["price"] == "2"
    assert found[9] == datetime(2026, 11, 26, 8, 0, 0, 1000, UTC)
    assert found[10:] == ("0-1-104", "binlog.000001", 4, "user:7 r-1")


def test_where_an_epoch_begins_the_log_says_why(audit: Audit) -> None:
    audit.write(audit.stream.control("RESET MASTER on db1"))
    ((op, said),) = audit.rows("op, row_after", "table_name = ''")
    assert (op, json.loads(said)) == ("m", ["epoch", 1, "RESET MASTER on db1"])


def test_of_rows_that_never_change_only_key_and_hash_are_kept(audit: Audit) -> None:
    audit.write(audit.stream.control(), audit.stream.commit(created(FILLS, FILL)))

    ((key, before, after),) = audit.rows("row_key, row_before, row_after")
    whole = json.dumps(
        dict(zip(FILLS.columns, FILL, strict=True)), separators=(",", ":"), ensure_ascii=False
    )
    assert key == '["7","t-1"]'
    assert before is None
    assert json.loads(after) == {"$sha256": hashlib.sha256(whole.encode()).hexdigest()}


def test_one_rows_history_is_found_by_its_key_without_reading_the_log(audit: Audit) -> None:
    stream = audit.stream
    audit.write(
        stream.control(),
        stream.commit(created(ORDERS, order(1)), created(ORDERS, order(2))),
        stream.commit(updated(ORDERS, order(1), order(1, "filled"))),
        stream.commit(deleted(ORDERS, order(1, "filled"))),
    )
    with closing(connect(audit.under.cli.audit)) as connection:
        found = change_log.history(connection, "fleet_orders", '["1"]')
        batch = change_log.batch_of(connection, 3)

    places = [(one.seq, one.row_index, one.op) for one in found]
    assert places == [(2, 0, "c"), (3, 0, "u"), (4, 0, "d")]
    assert batch is not None
    assert batch.first_seq <= 3 <= batch.last_seq
    plan = audit.run(
        "EXPLAIN SELECT seq FROM fleet_change_log WHERE table_name = 'fleet_orders'"
        " AND key_hash = UNHEX(LEFT(SHA2('[\"1\"]', 256), 32)) ORDER BY seq"
    )
    assert "fleet_change_log_key" in str(plan)


def test_a_table_without_a_key_is_told_by_the_hash_of_its_row(audit: Audit) -> None:
    change = created(NOTES, ["hello"])
    audit.write(audit.stream.control(), audit.stream.commit(change))
    assert audit.rows("row_key") == [(row_key(change).decode(),)]


def test_the_order_of_changes_is_the_logs_whatever_the_rows_say_of_their_time(audit: Audit) -> None:
    """`updated_at` has whole seconds, is left out by bulk updates, and goes back with a clock."""
    stream = audit.stream
    late, early = "2026-11-26 08:00:09", "2026-11-26 08:00:01"
    audit.write(
        stream.control(),
        stream.commit(created(ORDERS, order(1, note=late))),
        stream.commit(updated(ORDERS, order(1, note=late), order(1, "filled", note=early))),
    )
    with closing(connect(audit.under.cli.audit)) as connection:
        found = change_log.history(connection, "fleet_orders", '["1"]')
    assert [json.loads(one.after or "")["note"] for one in found] == [late, early]


def test_no_unique_index_but_the_key_can_make_one_row_of_two(audit: Audit) -> None:
    """`ON DUPLICATE KEY UPDATE` would take any of them; the log never uses it."""
    unique = audit.run(
        "SELECT DISTINCT index_name FROM information_schema.statistics"
        " WHERE table_schema = DATABASE() AND table_name = 'fleet_change_log' AND non_unique = 0"
    )
    assert unique == [("PRIMARY",)]
    assert "DUPLICATE" not in change_log.SQL["append"]


# -- the chain -------------------------------------------------------------------------------------

SQL_CHAIN = """
SELECT hash, UNHEX(SHA2(CONCAT(%s, CONCAT_WS('\\n',
         epoch, seq, row_index, row_key, op, derived,
         COALESCE(row_before, ''), COALESCE(row_after, ''),
         committed_at, gtid, file, pos, table_name, actor)), 256))
FROM fleet_change_log WHERE seq = %s AND row_index = %s"""


def busy(audit: Audit) -> None:
    stream = audit.stream
    audit.write(
        stream.control(),
        stream.commit(created(ORDERS, order(1, note="ünï")), created(FILLS, FILL)),
        stream.commit(updated(ORDERS, order(1), order(1, "filled")), actor="zeile\numbruch"),
        stream.commit(*(created(ORDERS, order(number)) for number in range(10, 40))),
        stream.commit(deleted(ORDERS, order(1, "filled"))),
    )


def test_an_auditor_can_prove_the_chain_in_sql_alone(audit: Audit) -> None:
    busy(audit)
    before = FIRST_HASH
    for seq, index in audit.rows("seq, row_index", "1 = 1"):
        ((kept, made),) = audit.run(SQL_CHAIN, (before, seq, index))
        assert kept == made
        before = kept


def test_a_chain_that_nobody_touched_is_proved_to_the_sinks_own_place(audit: Audit) -> None:
    busy(audit)
    found = audit.proof()
    assert (found.why, found.rows, found.through) == ("", 35, (1, 5))


@pytest.mark.parametrize(
    "change",
    [
        "table_name = 'fleet_fills'", "row_key = '[\"2\"]'", "op = 'c'", "derived = 1",
        "row_before = NULL", "row_after = REPLACE(row_after, 'filled', 'voided')",
        "committed_at = committed_at + INTERVAL 1 MICROSECOND", "gtid = '0-1-1'",
        "file = 'binlog.000009'", "pos = pos + 1", "actor = 'nobody'", "hash = REPEAT('x', 32)",
        "key_hash = REPEAT('x', 16)",
    ],
)  # fmt: skip
def test_whatever_is_altered_in_a_row_the_first_broken_row_is_named(
    audit: Audit, change: str
) -> None:
    busy(audit)
    assert audit.proof().why == ""
    audit.run(f"UPDATE fleet_change_log SET {change} WHERE seq = 3")  # noqa: S608 - of this test

    found = audit.proof()

    assert found.broken is not None
    assert found.broken[:3] == (1, 3, 0)
    assert found.why != ""


def test_a_row_that_was_removed_or_put_in_is_found(audit: Audit) -> None:
    busy(audit)
    audit.run("DELETE FROM fleet_change_log WHERE seq = 4 AND row_index = 7")
    found = audit.proof().broken
    assert found is not None
    assert found[:3] == (1, 4, 8)


def test_rows_cut_off_the_end_are_missed(audit: Audit) -> None:
    busy(audit)
    audit.run("DELETE FROM fleet_change_log WHERE seq = 5")
    assert "ends with 34 rows, the sink wrote 35" in audit.proof().why


@pytest.mark.parametrize(
    "statement",
    ["UPDATE fleet_change_log SET actor = ''", "DELETE FROM fleet_change_log",
     "TRUNCATE TABLE fleet_change_log", "DROP TABLE fleet_change_log",
     "ALTER TABLE fleet_change_log DROP PARTITION later"],
)  # fmt: skip
@pytest.mark.parametrize("role", ["audit", "cli", "streams", "rq", "metrics"])
def test_no_role_but_retention_may_do_anything_to_a_row_but_add_it(
    audit: Audit, settings_for: Callable[..., Settings], role: str, statement: str
) -> None:
    del audit
    with closing(connect(settings_for(role).mysql)) as connection:
        with pytest.raises(MySQLdb.OperationalError) as refused:
            connection.cursor().execute(statement)
        assert refused.value.args[0] in {1142, 1370}


# -- deletes that never came -----------------------------------------------------------------------


def test_a_snapshot_records_what_it_no_longer_finds_as_derived_deletes(audit: Audit) -> None:
    stream = audit.stream
    audit.write(
        stream.control(),
        stream.commit(*(created(ORDERS, order(number)) for number in (1, 2, 3, 4))),
        stream.commit(deleted(ORDERS, order(2))),
        begin := stream.snapshot(message(ORDERS, "snapshot_begin", "fleet_orders", "r1")),
        stream.snapshot(read(ORDERS, order(1))),
        stream.commit(updated(ORDERS, order(3), order(3, "filled"))),  # the log won over the chunk
        stream.snapshot(
            message(ORDERS, "snapshot_end", "fleet_orders", "r1", str(begin[0].seq))
        ),
    )  # fmt: skip

    found = audit.rows("seq, row_index, row_key, op, row_before", "derived = 1")
    ((seq, index, key, op, before),) = found
    assert (seq, index, key, op) == (stream.seq, 1, '["4"]', "d")
    assert json.loads(before)["id"] == "4"
    assert audit.proof().why == ""


def test_a_second_snapshot_does_not_record_the_same_delete_again(audit: Audit) -> None:
    stream = audit.stream
    audit.write(stream.control(), stream.commit(created(ORDERS, order(1)), created(FILLS, FILL)))
    for request in ("r1", "r2"):
        begin = stream.snapshot(message(ORDERS, "snapshot_begin", "fleet_orders", request))
        end = message(ORDERS, "snapshot_end", "fleet_orders", request, str(begin[0].seq))
        audit.write(begin, stream.snapshot(end))
    assert len(audit.rows("seq", "derived = 1")) == 1


@pytest.mark.parametrize(
    "emptied",
    [Change(ORDERS, "t", None, None), message(ORDERS, "drop", "DROP TABLE fleet_orders"),
     message(ORDERS, "rename", "…", "desk.fleet_orders", "desk.old")],
    ids=["truncate", "drop", "rename"],
)  # fmt: skip
def test_rows_of_before_a_truncate_are_not_deleted_once_more(
    audit: Audit, emptied: Change
) -> None:
    stream = audit.stream
    audit.write(
        stream.control(), stream.commit(created(ORDERS, order(1))), stream.commit(emptied),
        begin := stream.snapshot(message(ORDERS, "snapshot_begin", "fleet_orders", "r1")),
        stream.snapshot(message(ORDERS, "snapshot_end", "fleet_orders", "r1", str(begin[0].seq))),
    )  # fmt: skip
    assert audit.rows("seq", "derived = 1") == []


# -- what is refused -------------------------------------------------------------------------------


def test_in_the_place_of_a_refused_row_stands_its_hash_until_it_is_replayed(audit: Audit) -> None:
    stream, bad = audit.stream, audit.under.refused()
    audit.write(stream.control(), stream.commit(created(ORDERS, order(1)), bad))

    assert bad.after is not None
    whole = json.dumps(dict(zip(ORDERS.columns, bad.after, strict=True)), separators=(",", ":"))
    ((mark,),) = audit.rows("row_after", "row_index = 1")
    assert json.loads(mark) == {"$quarantined": hashlib.sha256(whole.encode()).hexdigest()}
    assert audit.proof().why == ""

    sink = audit.under.takes()
    sink.connect()
    with closing(sink):
        assert replay(sink, 0, 99) == (1, [])
    with closing(connect(audit.under.cli.audit)) as connection:
        (found,) = change_log.history(connection, "fleet_orders", '["666"]')
    assert found.after == whole
    assert audit.proof().why == ""


def test_an_actor_too_long_for_its_column_costs_no_row(audit: Audit) -> None:
    stream = audit.stream
    audit.write(
        stream.control(),
        stream.commit(created(ORDERS, order(1)), actor="x" * 2_000),
        stream.commit(created(ORDERS, order(2))),
    )
    assert [actor[:3] for (actor,) in audit.rows("actor")] == ["xxx", "led"]
    assert audit.under.quarantined() == 1
    assert audit.proof().why == ""


# -- months ----------------------------------------------------------------------------------------

NOVEMBER = datetime(2026, 11, 26, tzinfo=UTC)
FEBRUARY = datetime(2027, 2, 3, tzinfo=UTC)


@pytest.fixture
def jobs(settings_for: Callable[..., Settings]) -> Iterator[Any]:
    with closing(connect(settings_for("jobs").audit)) as connection:
        yield connection


def at(chunks: list[Chunk], moment: datetime) -> list[Chunk]:
    us = int(moment.timestamp()) * 1_000_000
    return [chunk._replace(committed_at_us=us) for chunk in chunks]


def several_months(audit: Audit) -> None:
    stream = audit.stream
    for moment in (NOVEMBER, datetime(2026, 12, 5, tzinfo=UTC), datetime(2027, 1, 5, tzinfo=UTC)):
        if not stream.seq:
            audit.write(at(stream.control(), moment))
        for number in range(5):
            audit.write(at(stream.commit(created(ORDERS, order(number))), moment))


def test_partitions_are_made_ahead_and_only_once(audit: Audit, jobs: Any) -> None:
    del audit
    assert change_log_months.prepare(jobs, NOVEMBER) == [202611, 202612, 202701]
    assert change_log_months.prepare(jobs, NOVEMBER) == []
    assert change_log_months.prepare(jobs, datetime(2026, 12, 1, tzinfo=UTC)) == [202702]


def test_whole_months_are_dropped_behind_an_anchor_and_the_rest_stays_provable(
    audit: Audit, jobs: Any
) -> None:
    change_log_months.prepare(jobs, NOVEMBER)
    several_months(audit)
    whole = audit.proof()

    assert keep_audit(jobs, FEBRUARY, 1) == 1
    assert keep_audit(jobs, FEBRUARY, 1) == 1
    assert keep_audit(jobs, FEBRUARY, 1) == 0

    found = audit.proof()
    assert (found.why, found.rows, found.dropped) == ("", 5, 11)
    assert found.hash == whole.hash
    assert {month for (month,) in audit.rows("month", "1 = 1")} == {202701}
    audit.run("UPDATE fleet_change_log SET actor = 'nobody' WHERE seq = 12")
    assert audit.proof().why != ""


def test_without_a_bound_everything_is_kept(audit: Audit, jobs: Any) -> None:
    change_log_months.prepare(jobs, NOVEMBER)
    several_months(audit)
    assert keep_audit(jobs, datetime(2036, 1, 1, tzinfo=UTC), None) == 0
    assert audit.proof().rows == 16


def test_a_month_whose_chain_is_broken_is_evidence_and_stays(audit: Audit, jobs: Any) -> None:
    change_log_months.prepare(jobs, NOVEMBER)
    several_months(audit)
    audit.run("UPDATE fleet_change_log SET actor = 'nobody' WHERE seq = 3")

    with pytest.raises(LimitReached, match="broken at 1/3 row 0"):
        keep_audit(jobs, FEBRUARY, 1)
    assert len(audit.rows("seq", "month = 202611")) == 6


def test_a_run_that_died_between_anchor_and_drop_is_finished_by_the_next(
    audit: Audit, jobs: Any
) -> None:
    change_log_months.prepare(jobs, NOVEMBER)
    several_months(audit)
    piece = change_log_months.prove_months(jobs, 0, 202611, FIRST_HASH)
    change_log_months._add_anchor(jobs, 202611, piece, FIRST_HASH)
    jobs.commit()
    assert audit.proof().why == ""

    assert keep_audit(jobs, FEBRUARY, 2) == 1

    found = audit.proof()
    assert (found.why, found.rows, found.dropped) == ("", 10, 6)


def test_months_of_the_log_never_go_back_though_clocks_do(audit: Audit) -> None:
    stream = audit.stream
    audit.write(
        at(stream.control(), datetime(2026, 12, 1, tzinfo=UTC)),
        at(stream.commit(created(ORDERS, order(1))), NOVEMBER),
    )
    assert audit.rows("month, MONTH(committed_at)") == [(202612, 11)]


def test_where_nobody_prepared_the_month_rows_are_taken_all_the_same(
    audit: Audit, jobs: Any
) -> None:
    several_months(audit)
    assert change_log_months.prepare(jobs, FEBRUARY) == [202702, 202703, 202704]
    assert audit.proof().rows == 16


def test_where_even_the_stand_in_is_refused_it_waits_and_loses_nothing(audit: Audit) -> None:
    """A hole in the chain would be worse: the stream, then the binlog, keep what comes."""
    audit.run(
        "CREATE TRIGGER somebodys BEFORE INSERT ON fleet_change_log FOR EACH ROW"
        " BEGIN IF NEW.table_name = 'fleet_orders' THEN"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not on my watch'; END IF; END"
    )
    control, bad = audit.stream.control(), audit.stream.commit(created(ORDERS, order(1)))
    try:
        with pytest.raises(SourceStopped, match=r"MySQL 1644.*Take away the trigger") as stopped:
            audit.write(control, bad)
        assert "watch" not in str(stopped.value)
    finally:
        audit.run("DROP TRIGGER somebodys")
    audit.world.catch_up()
    assert len(audit.rows("seq", "table_name = 'fleet_orders'")) == 1
