"""What is found at run time, what each edition is given, and what retention takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from pydantic import SecretStr

from shared.settings import Settings
from shared.timescale import editions
from shared.timescale.changes import Writer
from shared.timescale.editions import Edition, Keeping, edition, keeping, settling
from tests.change_world import NOTES, ORDERS, created, order
from tests.timescale_world import Timescale, own_database
from tests.typed_changes import AT_US, transaction
from workers.build import keep_history

DAYS = timedelta(days=1)


def test_the_apache_edition_is_given_nothing_that_it_would_refuse() -> None:
    assert list(settling(Edition("2.19.3", "apache"))) == []


def test_the_community_edition_is_given_a_columnstore_for_each_history() -> None:
    statements = [statement for statement, _ in settling(Edition("2.19.3", "timescale"))]
    for table in ("change_event", "position_history", "pnl_history", "fill_history"):
        (found,) = (s for s in statements if s.startswith(f"ALTER TABLE fleet.{table} "))
        assert "timescaledb.compress_segmentby" in found
    assert sum("add_compression_policy" in statement for statement in statements) == 4


@pytest.mark.database
def test_the_edition_is_what_the_server_says_and_has_what_belongs_to_it(
    timescale: Timescale,
) -> None:
    """Says which edition it found: the community one has policies, the Apache one has none, though
    functions of that name stand in pg_proc (trap 20).
    """
    with psycopg.connect(timescale.owner) as connection:
        found = edition(connection)
        assert found is not None
        assert found.license in {editions.APACHE, editions.COMMUNITY}
        assert editions.unreadable_chunks(connection) == 0
    stubs = timescale.run("SELECT count(*) FROM pg_proc WHERE proname = 'add_compression_policy'")
    assert stubs != [(0,)]
    settled = {
        name
        for (name,) in timescale.run(
            "SELECT hypertable_name FROM timescaledb_information.jobs"
            " WHERE proc_name = 'policy_compression'"
        )
    }
    wanted = {"change_event", "position_history", "pnl_history", "fill_history"}
    print(f"TimescaleDB {found.version}, {found.license} edition")
    assert settled == (wanted if found.community else set())


@pytest.mark.database
def test_without_the_extension_there_is_no_edition(servers: dict[str, str]) -> None:
    with own_database(servers) as bare, psycopg.connect(bare.owner) as connection:
        connection.execute("DROP EXTENSION IF EXISTS timescaledb")
        assert edition(connection) is None
        assert editions.unreadable_chunks(connection) == 0


# -- retention -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ({}, (None, {})),
        ({"*": 90 * DAYS}, (90 * DAYS, {})),
        ({"fleet_orders": 30 * DAYS}, (None, {"fleet_orders": 30 * DAYS})),
        (
            {"*": 90 * DAYS, "fleet_orders": 30 * DAYS},
            (90 * DAYS, {"fleet_orders": 30 * DAYS}),
        ),
        (
            {"*": 90 * DAYS, "fleet_orders": 700 * DAYS},
            (700 * DAYS, {"fleet_fills": 90 * DAYS, "fleet_positions": 90 * DAYS}),
        ),
    ],
)
def test_events_go_by_table_and_chunks_when_all_tables_let_them(
    kept: dict[str, timedelta], expected: tuple[timedelta | None, dict[str, timedelta]]
) -> None:
    tables = ["fleet_orders", "fleet_fills", "fleet_positions"]
    found = keeping(tables, lambda table: kept.get(table, kept.get("*")))
    assert isinstance(found, Keeping)
    assert (found.histories["change_event"], found.tables) == expected
    assert found.histories["position_history"] == kept.get("*")


@pytest.mark.database
def test_beat_lets_go_what_is_older_as_the_role_jobs(
    timescale: Timescale, settings_for: Callable[..., Settings]
) -> None:
    with psycopg.connect(timescale.owner) as connection:
        writer = Writer(connection)
        writer.prepare()
        for seq, years in ((1, 6), (2, 0)):
            at = AT_US - years * 365 * 86_400_000_000
            writer.begin()
            changes = created(ORDERS, order(seq)), created(NOTES, [f"kept for good {seq}"])
            writer.write([transaction(seq, *changes, at_us=at)])
            connection.commit()
        found = edition(connection)
    assert found is not None
    jobs = settings_for("jobs", FLEET_CDC_HISTORY="fleet_orders=30d").model_copy(
        update={"timescale_url": SecretStr(timescale.url("jobs"))}
    )

    assert keep_history(jobs) == 1

    assert timescale.run(
        "SELECT table_name, seq FROM fleet.change_event ORDER BY table_name, seq"
    ) == [("fleet_orders", 2), ("notes", 1), ("notes", 2)]
    assert timescale.run("SELECT sum(changes) FROM fleet.changes_hourly") == [(4,)]
    assert timescale.run("SELECT count(*) FROM fleet.row_state") == [(4,)]
    policies = timescale.run(
        "SELECT hypertable_name FROM timescaledb_information.jobs"
        " WHERE proc_name = 'policy_retention'"
    )
    assert policies == ([("cdc_batch",)] if found.community else [])


@pytest.mark.database
@pytest.mark.parametrize("call", ["('row_state', '30 days')", "('change_event', '1 hour')"])
def test_retention_touches_histories_only_and_nothing_of_the_last_day(
    timescale: Timescale, call: str
) -> None:
    with psycopg.connect(timescale.url("jobs")) as connection, pytest.raises(
        psycopg.errors.RaiseException
    ):
        connection.execute(f"SELECT fleet.keep_history{call}".encode())


@pytest.mark.database
def test_the_columnstore_takes_late_rows_and_lets_old_ones_go_where_the_edition_has_one(
    timescale: Timescale,
) -> None:
    """Apache: the function is there, and refuses when it is called (trap 20); nothing else of this
    test ran then, which it says.
    """
    with psycopg.connect(timescale.owner) as connection:
        found = edition(connection)
        assert found is not None
        writer = Writer(connection)
        writer.prepare()
        old = AT_US - 6 * 365 * 86_400_000_000
        for seq in (1, 2):
            writer.begin()
            changes = created(ORDERS, order(seq)), created(NOTES, [f"kept for good {seq}"])
            writer.write([transaction(seq, *changes, at_us=old)])
            connection.commit()
            compress = "SELECT compress_chunk(show_chunks('fleet.change_event'), true)"
            if not found.community:
                with pytest.raises(psycopg.errors.FeatureNotSupported, match="apache"):
                    connection.execute(compress)
                print(f"not run: {found.license} edition {found.version} has no columnstore")
                return
            if seq == 1:
                connection.execute(compress)
                connection.commit()
    assert timescale.run("SELECT seq FROM fleet.change_event WHERE table_name = 'notes'") == [
        (1,), (2,),
    ]  # fmt: skip
    assert timescale.run("SELECT fleet.forget_changes('fleet_orders', INTERVAL '1 day')") == [(2,)]
    assert timescale.run("SELECT count(*) FROM fleet.change_event") == [(2,)]
