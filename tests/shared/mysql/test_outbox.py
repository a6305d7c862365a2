"""States of an outbox row: waiting, sent, confirmed, and every way back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from zlib import crc32

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql import outbox
from shared.mysql.connection import connect

pytestmark = pytest.mark.database


@pytest.fixture
def desk(mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Any]:
    """Whoever writes the outbox; the administrator, because these functions serve several roles."""
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield connection


@pytest.fixture
def other(mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Any]:
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield connection


def record(desk: Any, count: int) -> list[int]:
    cursor = desk.cursor()
    ids = []
    for number in range(count):
        cursor.execute(
            "INSERT INTO fleet_outbox (stream, type, event_key, event_id, ts_us, data)"
            " VALUES ('orders', 't.1', %s, %s, 1, '{}')",
            (str(number), f"e{number}"),
        )
        ids.append(cursor.lastrowid)
    desk.commit()
    return ids


def states(connection: Any) -> list[int]:
    connection.commit()
    cursor = connection.cursor()
    cursor.execute("SELECT state FROM fleet_outbox ORDER BY id")
    return [row[0] for row in cursor.fetchall()]


def claimed(connection: Any, limit: int = 100) -> list[int]:
    rows = [row.id for row in outbox.claim(connection, limit, 32)]
    connection.commit()
    return rows


def test_claims_are_in_order_bounded_and_know_their_partition(desk: Any) -> None:
    ids = record(desk, 5)
    assert claimed(desk, 3) == ids[:3]
    assert claimed(desk, 3) == ids[3:]
    assert claimed(desk) == []
    cursor = desk.cursor()
    cursor.execute("SELECT event_key, partition_no, sends FROM fleet_outbox")
    for key, partition, sends in cursor.fetchall():
        assert (partition, sends) == (crc32(key.encode()) % 32, 1)


def test_rows_that_another_relay_is_claiming_are_passed_over(desk: Any, other: Any) -> None:
    ids = record(desk, 4)
    assert [row.id for row in outbox.claim(desk, 2, 32)] == ids[:2]
    assert claimed(other, 10) == ids[2:]
    desk.rollback()
    assert claimed(other, 10) == ids[:2]


def test_a_row_given_back_waits_again_unless_it_is_confirmed(desk: Any) -> None:
    ids = record(desk, 2)
    claimed(desk)
    outbox.confirm(desk, [(ids[1], "e1")])
    outbox.give_back(desk, ids)
    outbox.give_back(desk, [])
    assert states(desk) == [0, 2]


def test_confirming_needs_the_rows_own_event_id(desk: Any) -> None:
    ids = record(desk, 3)
    claimed(desk)
    outbox.confirm(desk, [])
    outbox.confirm(desk, [(ids[0], "e1"), (ids[1], "e1"), (ids[1], "x"), (10**15, "e2")])
    assert states(desk) == [1, 2, 1]


def test_confirming_never_waits_for_a_relay(desk: Any, other: Any) -> None:
    ids = record(desk, 2)
    outbox.claim(desk, 1, 32)
    outbox.confirm(other, [(ids[0], "e0"), (ids[1], "e1")])
    other.commit()
    desk.commit()
    assert states(desk) == [1, 2]


def test_resending_takes_what_was_sent_and_not_confirmed(desk: Any) -> None:
    ids = record(desk, 4)
    claimed(desk, 3)
    outbox.confirm(desk, [(ids[0], "e0")])
    desk.commit()
    assert outbox.resend_partition(desk, "orders", crc32(b"1") % 32) == 1
    assert outbox.resend_partition(desk, "signals", crc32(b"2") % 32) == 0
    assert states(desk) == [2, 0, 1, 0]
    assert outbox.resend_all(desk) == 1
    assert states(desk) == [2, 0, 0, 0]


def test_everything_can_be_sent_again_page_by_page(desk: Any) -> None:
    ids = record(desk, 5)
    claimed(desk)
    outbox.confirm(desk, [(ids[0], "e0"), (ids[4], "e4")])
    desk.commit()
    assert outbox.send_again(desk, 0, 2) == (2, ids[1])
    assert states(desk) == [0, 0, 1, 1, 2]
    assert outbox.send_again(desk, ids[1], 100) == (3, ids[4])
    assert outbox.send_again(desk, ids[4], 100) == (0, None)


def test_pruning_is_bounded(desk: Any) -> None:
    record(desk, 4)
    desk.cursor().execute(
        "UPDATE fleet_outbox SET state = 2, confirmed_at = UTC_TIMESTAMP(6) - INTERVAL 9 SECOND"
    )
    assert outbox.prune(desk, 60, 3) == 0
    assert outbox.prune(desk, 5, 3) == 3
    assert outbox.prune(desk, 5, 3) == 1
