"""`fleet cdc verify`, `explain` and `rebuild` against the real thing: everything runs meanwhile."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from shared.settings import Settings
from tests.capture_world import Capture
from tests.timescale_world import Timescale
from tests.waiting import eventually
from workers import cli

TABLES = "fleet_orders,fleet_fills,exchange_accounts"


@pytest.fixture
def capture(settings_for: Callable[..., Settings], timescale: Timescale) -> Capture:
    return Capture(settings_for, timescale, TABLES)


@pytest.fixture
def database(mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Any]:
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield connection


@pytest.fixture
def fleet(
    capture: Capture, environ_for: Callable[..., dict[str, str]]
) -> Callable[..., Result]:
    def run(*words: str) -> Result:
        environ = environ_for("cli", **capture.environ("cli"))
        return CliRunner().invoke(cli.fleet, ["cdc", *words], env=environ)

    return run


def run(database: Any, statement: str, *words: Any) -> None:
    database.cursor().execute(statement, words)
    database.commit()


def order(database: Any, number: int, state: str = "placed", qty: str = "1.5") -> None:
    run(
        database,
        "INSERT INTO fleet_orders (account_id, product, instrument, order_key, venue, state,"
        " state_rank, state_at_ms, qty) VALUES (42, 'linear', 'BTC', %s, 'binance', %s, 1, 5, %s)"
        " ON DUPLICATE KEY UPDATE state = VALUES(state), qty = VALUES(qty)",
        f"o:{number}", state, qty,
    )  # fmt: skip


def fill(database: Any, number: int) -> None:
    run(
        database,
        "INSERT INTO fleet_fills (account_id, product, instrument, trade_id, side, venue,"
        " position_side, qty, price, contract_size, value, settle_asset, executed_at,"
        " executed_at_ms, trade_id_bytes) VALUES (42, 'linear', 'BTC', %s, 'buy', 'binance', 'net',"
        " 1, 2, 1, 2, 'USDT', '2026-11-26 08:00:00', 1795680000000, 3)",
        str(number),
    )


def account(database: Any, schema: str, number: int) -> None:
    run(
        database,
        f"INSERT INTO {schema}_laravel.exchange_accounts (id, user_id, venue, product,"  # noqa: S608
        " api_key, api_secret) VALUES (%s, 7, 'binance', 'linear', 'k', 's')",
        number,
    )


def test_source_and_sinks_are_the_same_while_everything_goes_on(
    capture: Capture,
    fleet: Callable[..., Result],
    database: Any,
    fleet_schema: str,
    mysql_root: MySQLSettings,
) -> None:
    for number in range(30):
        order(database, number)
        fill(database, number)
    account(database, fleet_schema, 1)
    stop = threading.Event()

    def write() -> None:
        with closing(connect(mysql_root, fleet_schema)) as connection:
            number = 0
            while not stop.is_set():
                order(connection, number % 40, f"state {number}")
                if number % 3 == 0:
                    run(connection, "DELETE FROM fleet_orders WHERE order_key = %s",
                        f"o:{number % 7}")  # fmt: skip
                fill(connection, 1000 + number)
                number += 1

    with capture.running():
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(3):
                found = fleet("verify", "--json")
                assert found.exit_code == 0, found.output
        finally:
            stop.set()
            writer.join()
        said = json.loads(found.output)
    rows = {one["table"]: one["rows"] for one in said["tables"]}
    assert rows["fleet_orders"] > 20
    assert rows["fleet_fills"] > 30
    assert rows["exchange_accounts"] == 1
    assert all(not one["refused"] for one in said["tables"])
    assert {sink["sink"] for one in said["tables"] for sink in one["sinks"]} == {
        "audit", "timescale",
    }  # fmt: skip


def test_what_differs_is_named(
    capture: Capture, fleet: Callable[..., Result], database: Any, timescale: Timescale
) -> None:
    for number in range(9):
        order(database, number)
        fill(database, number)
    with capture.running():
        run(
            database,
            "UPDATE fleet_change_log SET row_after = JSON_SET(row_after, '$.state', 'forged')"
            " WHERE table_name = 'fleet_orders' AND row_key LIKE '%%o:3%%'",
        )
        timescale.run("DELETE FROM fleet.row_state WHERE row_key LIKE '%o:4%'")
        timescale.run("UPDATE fleet.row_state SET row = jsonb_set(row, '{qty}', '\"7\"')"
                      " WHERE row_key LIKE '%o:5%'")  # fmt: skip
        run(database, "SET SESSION sql_log_bin = 0")
        run(database, "DELETE FROM fleet_fills WHERE trade_id = '6'")
        run(database, "SET SESSION sql_log_bin = 1")

        found = fleet("verify")
        assert found.exit_code == 1
        lines = [line for line in found.output.splitlines() if " in " in line]
        assert len(lines) == 5, found.output
        text = " ".join(found.output.split())
        assert '"o:3"] in audit: state: "placed" in the source, "forged" here' in text
        assert '"o:4"] in timescale: not there' in text
        assert '"o:5"] in timescale: qty: "1.5" in the source, "7" here' in text
        assert '"6","buy"] in audit: not in the source' in text
        assert '"6","buy"] in timescale: not in the source' in text
        assert "the audit log is broken" in text

        assert fleet("resync", "fleet_fills").exit_code == 0
        eventually(lambda: "fleet_fills [" not in fleet("verify").output, 30)


def test_what_cannot_be_proven_is_named(
    capture: Capture, fleet: Callable[..., Result], database: Any, mysql_root: MySQLSettings
) -> None:
    """A table without a key, and one that the server changes by itself without logging it."""
    schema = f"{capture.settings('cli').mysql.laravel_database}"
    capture.tables = f"{TABLES},keyless,child"
    run(database, f"CREATE TABLE {schema}.keyless (a INT)")
    run(database, f"CREATE TABLE {schema}.parent (id INT PRIMARY KEY)")
    run(database, f"CREATE TABLE {schema}.child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p)"
        f" REFERENCES {schema}.parent (id) ON DELETE CASCADE)")  # fmt: skip
    try:
        with closing(connect(mysql_root)) as root:
            for role in ("collector", "cli"):
                user = capture.settings(role).mysql.user
                run(root, f"GRANT SELECT ON {schema}.* TO {user}")
            cascades_logged = "mariadb" not in str(root.get_server_info()).lower()
        with capture.running():
            found = fleet("verify", "keyless", "child")
        assert found.exit_code == 0, found.output
        assert "keyless: " in found.output
        assert "ALTER TABLE" in found.output
        assert ("child changes when" in found.output) != cascades_logged
    finally:
        run(database, f"DROP TABLE {schema}.keyless, {schema}.child, {schema}.parent")


def test_a_row_and_a_value_are_explained(
    capture: Capture, fleet: Callable[..., Result], database: Any
) -> None:
    with capture.running():
        order(database, 1)
        database.cursor().execute(
            "INSERT INTO fleet_change_context (actor, request_id) VALUES ('user:7', 'r-1')"
        )
        order(database, 1, "filled")
        order(database, 1, "filled", "2.5")
        eventually(capture.settled, 20)
        key = "42,linear,BTC,o:1"
        eventually(lambda: "2.5" in fleet("explain", "fleet_orders", key).output, 20)
        found = fleet("explain", "fleet_orders", key, "state", "--json")
        assert found.exit_code == 0, found.output
        steps = json.loads(found.output)
        assert [step["after"] for step in steps] == ['"placed"', '"filled"']
        assert steps[1]["actor"].startswith("user:7")
        assert steps[1]["before"] == '"placed"'
        assert ":" in steps[1]["position"]
        assert steps[1]["audit"].startswith("batch")
        assert steps[1]["timescale"].startswith("batch")
        listed = fleet("explain", "fleet_orders", '["42","linear","BTC","o:1"]')
        assert listed.output.count("updated") == 2
        wrong = fleet("explain", "fleet_orders", "42")
        assert "account_id, product, instrument, order_key" in wrong.output
        assert wrong.exit_code != 0
        assert fleet("explain", "fleet_orders", "42,linear,BTC,o:9").exit_code != 0


def test_a_table_is_rebuilt_as_of_any_seq_the_same_from_both_logs(
    capture: Capture, fleet: Callable[..., Result], database: Any
) -> None:
    for number in range(5):
        order(database, number)
    with capture.running():
        before = _rebuilt(fleet, "fleet_orders")
        at = datetime.now(UTC)
        seq = before[1].split(" as of ")[1].split(":")[0]
        # MariaDB's log tells whole seconds.
        eventually(lambda: int(datetime.now(UTC).timestamp()) > int(at.timestamp()))
        order(database, 1, "filled")
        run(database, "DELETE FROM fleet_orders WHERE order_key = 'o:2'")
        order(database, 9)
        eventually(lambda: len(_rebuilt(fleet, "fleet_orders")[0]) == 5, 20)
        eventually(lambda: _rebuilt(fleet, "fleet_orders", "--from", "timescale")[0]
                   != before[0], 20)  # fmt: skip
        now = _rebuilt(fleet, "fleet_orders")
        assert sorted(row["order_key"] for row in now[0]) == ["o:0", "o:1", "o:3", "o:4", "o:9"]
        for sink in ("audit", "timescale"):
            past = _rebuilt(fleet, "fleet_orders", "--as-of", seq, "--from", sink)
            assert past[1] == before[1]
            assert sorted(map(json.dumps, past[0])) == sorted(map(json.dumps, before[0]))
            by_time = _rebuilt(fleet, "fleet_orders", "--as-of", at.isoformat(), "--from", sink)
            assert by_time[1].split(": ")[1] == before[1].split(": ")[1]
        as_csv = fleet("rebuild", "fleet_orders", "--format", "csv", "--as-of", seq)
        assert len(as_csv.output.splitlines()) >= 6


def test_a_table_of_hashes_is_rebuilt_from_timescale(
    capture: Capture, fleet: Callable[..., Result], database: Any
) -> None:
    fill(database, 1)
    with capture.running():
        assert _rebuilt(fleet, "fleet_fills")[0][0]["trade_id"] == "1"
        refused = fleet("rebuild", "fleet_fills", "--from", "audit")
        assert refused.exit_code != 0
        assert "--from timescale" in refused.output


def _rebuilt(fleet: Callable[..., Result], *words: str) -> tuple[list[dict[str, Any]], str]:
    """Rows, and what is said of them."""
    found = fleet("rebuild", *words)
    assert found.exit_code == 0, found.output
    lines = io.StringIO(found.output).read().splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return rows, next(line for line in lines if " as of " in line)
