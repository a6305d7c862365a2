"""A real table changes its shape under a real log, and is read again from every place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from shared.cdc.shapes import ACCEPTED_TABLE, ShapeWatch
from tests.cdc_log import Log, Row, rows_of
from tests.own_mysql import OwnMySQL, own_mysql

pytestmark = pytest.mark.database

ACCEPTED = (
    f"CREATE TABLE {ACCEPTED_TABLE} (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,"
    " table_name VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL)"
)


@pytest.fixture(scope="module")
def server(servers: Mapping[str, str]) -> Iterator[OwnMySQL]:
    with own_mysql(servers) as mysql:
        yield mysql


def kinds(rows: list[Row]) -> list[tuple[str, str]]:
    """Table, and op or the kind of a message; DDL itself, which others tell, aside."""
    told = [(name, after[0] if op == "m" else op) for name, op, _, after in rows]
    return [one for one in told if one[1] in {"c", "u", "d", "stopped", "accepted"}]


def watch_said(out: list[list[Row]]) -> str:
    """Why the one table was stopped."""
    said = [after for rows in out for _, op, _, after in rows if op == "m"]
    (why,) = [after[1] for after in said if after[0] == "stopped"]
    return str(why)


def test_growing_goes_on_and_narrowing_stops_that_table_until_it_is_accepted(
    server: OwnMySQL,
) -> None:
    server.run(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), w INT UNSIGNED)",
        "CREATE TABLE other (id INT PRIMARY KEY)",
        ACCEPTED,
    )
    log = Log(server, "t", "other")
    start = log.source.position()
    server.run(
        "INSERT INTO t VALUES (1, 'a', 1)",
        "COMMIT",
        "ALTER TABLE t ADD COLUMN x JSON FIRST, MODIFY v VARCHAR(300), MODIFY w BIGINT",
        "INSERT INTO t VALUES ('{}', 2, 'b', 2)",
        "COMMIT",
        "ALTER TABLE t DROP COLUMN w",
        "INSERT INTO t VALUES ('{}', 3, 'c')",
        "INSERT INTO other VALUES (1)",
        "COMMIT",
        "UPDATE t SET v = 'd' WHERE id = 3",
        "COMMIT",
        f"INSERT INTO {ACCEPTED_TABLE} (table_name) VALUES ('t')",  # noqa: S608 - ours
        "COMMIT",
        "INSERT INTO t VALUES ('{}', 4, 'e')",
    )
    transactions = log.read(start)
    watch = ShapeWatch({})
    states, out = [dict(watch.changed())], []
    for one in transactions:
        out.append(rows_of(watch.passed(one)))
        states.append(states[-1] | watch.changed())

    assert [found for one in out if (found := kinds(one))] == [
        [("t", "c")],
        [("t", "c")],
        [("t", "stopped"), ("other", "c")],
        [("t", "accepted")],
        [("t", "c")],
    ]
    assert "w is gone" in watch_said(out)

    for place in range(len(transactions)):
        again = ShapeWatch(states[place])
        assert [rows_of(again.passed(one)) for one in transactions[place:]] == out[place:]
