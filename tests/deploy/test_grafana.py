"""Dashboards ask for what is exported, show all of it, and never call well what nobody told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.grafana.boards import BOARDS
from deploy.grafana.classic import dashboard, text
from deploy.grafana.panels import Board, Panel, Query, risen
from shared.metrics import FLEET, METRICS, PROCESS
from tests.desk_tools import Prometheus, prometheus
from tests.metric_history import Span, of_fleet, of_one, openmetrics
from tests.timescale_world import Timescale
from workers.alerts import ALERTS

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
UNITS = {"none", "s", "bytes", "percentunit", "cps", "reqps", "bool_yes_no"}
"""Grafana's names, as @grafana/data lists them."""

BY_PLANE = {board.plane: board for board in BOARDS}
PANELS = [(board, panel) for board in BOARDS for panel in board.panels]
ASKED = [
    pytest.param(panel, query, id=f"{board.plane}-{panel.title}-{place}")
    for board, panel in PANELS
    if panel.source == "prometheus"
    for place, query in enumerate(panel.queries)
]
HISTORIES = [
    pytest.param(panel, id=panel.title) for _, panel in PANELS if panel.source == "timescale"
]

START = 1_780_000_200
NOBODY = START - 5400
ALL_AWAY = Span(START - 3600, START - 3000, 15)
ALONE = Span(START, START + 600, 15)
BORN = 'fleet_operator_jobs_total{job_name="born",outcome="failed"}'
TWICE = Span(START + 1200, START + 1800, 15, exporters=2)


def metrics_of(*panels: Panel) -> set[str]:
    """Metrics of the table that they ask for."""
    return {
        re.sub(r"_(bucket|sum|count)$", "", word) if word not in METRICS else word
        for panel in panels
        for query in panel.queries
        for word in re.findall(r"\bfleet_\w+", query.asks)
        if panel.source == "prometheus"
    }


# -- the files -------------------------------------------------------------------------------------


def test_the_files_are_those_of_the_tables() -> None:
    written = {path.stem: path.read_text() for path in (GRAFANA / "dashboards").iterdir()}
    assert written == {board.plane: text(board) for board in BOARDS}, "python -m deploy.grafana"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.plane)
def test_panels_have_numbers_and_places_of_their_own(board: Board) -> None:
    made = dashboard(board)
    ids = [panel["id"] for panel in made["panels"]]
    assert len(set(ids)) == len(ids)
    assert len(made["uid"]) <= 40
    taken: set[tuple[int, int]] = set()
    for panel in made["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_panel_says_its_unit_and_what_it_shows() -> None:
    assert {panel.unit for _, panel in PANELS} <= UNITS
    for board in BOARDS:
        for panel in dashboard(board)["panels"]:
            assert panel["type"] == "row" or panel["description"], panel["title"]


def test_links_lead_to_dashboards_that_are_there() -> None:
    uids = {board.uid for board in BOARDS}
    for board in BOARDS:
        found = set(re.findall(r"/d/([\w-]+)\?", text(board)))
        assert found <= uids
    assert {f"tradefleet-{alert.plane}" for alert in ALERTS.values()} <= uids
    overview = text(BY_PLANE["overview"])
    assert {board.uid for board in BOARDS if f"/d/{board.uid}?" in overview} == uids - {
        "tradefleet-overview"
    }


def test_what_is_provisioned_is_what_dashboards_ask_for() -> None:
    sources = (GRAFANA / "provisioning" / "datasources" / "tradefleet.yaml").read_text()
    provided = dict(re.findall(r"^    uid: (\S+)\n    type: (\S+)$", sources, re.MULTILINE))
    for board in BOARDS:
        for variable in dashboard(board)["templating"]["list"]:
            if variable["type"] == "datasource":
                assert provided[variable["current"]["value"]] == variable["query"]


# -- what is asked ---------------------------------------------------------------------------------


def test_every_metric_stands_on_a_dashboard_and_no_other_is_asked_for() -> None:
    assert metrics_of(*(panel for _, panel in PANELS)) == METRICS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_what_an_alert_judges_is_on_the_overview_or_on_its_plane(name: str) -> None:
    alert = ALERTS[name]
    shown = metrics_of(*BY_PLANE["overview"].panels, *BY_PLANE[alert.plane].panels)
    assert alert.when.metric in shown
    assert any(panel.alert == name for panel in BY_PLANE[alert.plane].panels)


@pytest.mark.parametrize("severity", ["page", "ticket"])
def test_a_figure_is_coloured_as_its_alert_judges(severity: str) -> None:
    colour = {"page": "red", "ticket": "orange"}[severity]
    checked = 0
    for board in BOARDS:
        shown = [panel for panel in dashboard(board)["panels"] if panel["type"] == "stat"]
        figures = [panel for panel in board.panels if panel.draws == "figure"]
        for panel, drawn in zip(figures, shown, strict=True):
            if panel.alert and ALERTS[panel.alert].severity == severity:
                steps = drawn["fieldConfig"]["defaults"]["thresholds"]["steps"]
                assert {step["color"] for step in steps} == {"green", colour}
                checked += 1
    assert checked > 5


# -- a real Prometheus -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Prometheus]:
    """First nobody tells, then an exporter that reaches no server, then all of a fleet, then the
    same from two exporters.
    """
    history = openmetrics(
        [
            *of_one("fleet_collect_success", 1, ALL_AWAY),
            *of_one('fleet_server_up{server="mysql"}', 0, ALL_AWAY),
            *of_fleet(ALONE, partitions=3),
            *of_fleet(TWICE, partitions=3),
            *of_one(BORN, 1, Span(ALONE.last - 60, ALONE.last, 15)),
            *of_one(BORN, 1, Span(TWICE.last - 60, TWICE.last, 15)),
        ]
    )
    files = {"prometheus.yml": "global: {}\n"}
    with prometheus(files, "--storage.tsdb.retention.time=100y", history=history) as found:
        yield found


def answers(server: Prometheus, query: Query, at: int) -> dict[tuple[tuple[str, str], ...], float]:
    """Labels -> value."""
    asks = query.asks.replace("$__rate_interval", "1m")
    found = server.ask("query", query=asks, time=str(at))["result"]
    return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in found}


@pytest.mark.parametrize(("panel", "query"), ASKED)
def test_a_question_is_answered_and_named_by_labels_that_are_there(
    server: Prometheus, panel: Panel, query: Query
) -> None:
    found = answers(server, query, ALONE.last)
    assert found
    if panel.draws == "figure":
        assert len(found) == 1
    named = set(re.findall(r"{{(\w+)}}", query.legend))
    assert all(named <= dict(labels).keys() for labels in found)
    if panel.draws == "lines" and len(found) > 1:
        assert named, "lines that nobody can tell apart"
        assert all(dict(labels).keys() == named for labels in found)


@pytest.mark.parametrize(("panel", "query"), ASKED)
def test_a_second_exporter_changes_no_figure(
    server: Prometheus, panel: Panel, query: Query
) -> None:
    if panel.draws == "firing":
        return
    assert answers(server, query, TWICE.last) == pytest.approx(answers(server, query, ALONE.last))


def test_what_nobody_tells_is_not_called_well(server: Prometheus) -> None:
    of_the_exporter = {"Pages", "Tickets", "Servers away", "Somebody tells", "It could be read"}
    for board, panel in PANELS:
        if panel.draws == "figure":
            (query,) = panel.queries
            assert answers(server, query, NOBODY) == {}, f"{board.plane}: {panel.title}"
            known = answers(server, query, ALL_AWAY.last) != {}
            assert known == (panel.title in of_the_exporter), f"{board.plane}: {panel.title}"


def test_what_there_is_none_of_is_0_while_it_can_be_read(server: Prometheus) -> None:
    for board, panel in PANELS:
        (query, *_) = panel.queries
        if panel.draws == "figure" and " or 0 * max(" in query.asks:
            none = Query(query.asks.rpartition(" or ")[2])
            found = answers(server, none, ALONE.last)
            assert list(found.values()) == [0.0], f"{board.plane}: {panel.title}"


def test_the_first_count_of_a_series_is_seen(server: Prometheus) -> None:
    asked = Query(risen("fleet_operator_jobs_total", "job_name"))
    found = answers(server, asked, ALONE.last)
    assert found[("job_name", "born"),] == 1
    assert found[("job_name", "a"),] == pytest.approx(2 * 300)
    # What stood there when somebody first looked is no news.
    assert answers(server, asked, ALONE.first) == {}


def test_what_is_wrong_is_listed_with_what_to_do(server: Prometheus) -> None:
    (panel,) = [panel for panel in BY_PLANE["overview"].panels if panel.draws == "firing"]
    found = answers(server, panel.queries[0], ALONE.last)
    assert {dict(labels)["do"] for labels in found} == ALERTS.keys()
    (drawn,) = [one for one in dashboard(BY_PLANE["overview"])["panels"]
                if one["title"] == panel.title]  # fmt: skip
    told = json.dumps(drawn["fieldConfig"]["overrides"])
    assert all(json.dumps(alert.do) in told for alert in ALERTS.values())


def test_the_table_of_made_data_has_both_kinds() -> None:
    said = openmetrics(of_fleet(Span(0, 0, 1), partitions=1))
    assert all(f"\n{name}" in f"\n{said}" for name in (*FLEET, *PROCESS))


# -- TimescaleDB -----------------------------------------------------------------------------------

ROWS = """
    INSERT INTO fleet.rollup_pnl VALUES
    (1, 'linear', 'BTCUSDT', '2026-11-25', 'USDT', 1, 0, now(), false, 5, 1, 2, 0, 3);
    INSERT INTO fleet.equity VALUES (1, 'USDT', '2026-11-25 10:00Z', 100, 7, 0, 0, NULL, now());
    INSERT INTO fleet.rollup_trading (hour, account_id, venue, product, instrument, side,
    settle_asset, fee_asset, fills, qty, value, fees, fee_unknown) VALUES
    ('2026-11-25 10:00Z', 1, 'okx', 'linear', 'BTCUSDT', 'buy', 'USDT', '', 6, 1, 1, 0, 0);
    INSERT INTO fleet.rollup_changes VALUES ('2026-11-25 10:00Z', 'fleet_fills', 'c', 6)
"""
EXPECTED = {
    "P&L of the account by day": ("USDT", 6.0),
    "Equity of the account": ("USDT", 107.0),
    "Fills by hour and venue": ("okx", 6.0),
    "Changes by hour and table": ("fleet_fills", 6.0),
}


@pytest.mark.database
@pytest.mark.parametrize("panel", HISTORIES)
def test_history_is_read_with_the_grants_of_dashboards(
    timescale: Timescale, panel: Panel
) -> None:
    timescale.run(ROWS)
    assert asked_of(timescale, panel, "2026-11-25T00:00:00Z", "2026-11-25T23:00:00Z") == [
        EXPECTED[panel.title]
    ]
    assert asked_of(timescale, panel, "2026-11-23T00:00:00Z", "2026-11-24T23:00:00Z") == []


def asked_of(timescale: Timescale, panel: Panel, first: str, last: str) -> list[tuple[Any, ...]]:
    """As Grafana asks: its macros are texts. Without the times, which Grafana needs."""
    sql = panel.queries[0].asks.replace("${account:sqlstring}", "'1'")
    sql = sql.replace("$__timeFrom()", f"'{first}'").replace("$__timeTo()", f"'{last}'")
    assert "$" not in sql
    with psycopg.connect(timescale.url("dashboards")) as connection:
        connection.execute("SET timezone = 'UTC'")
        cursor = connection.execute(sql.encode())
        names = [column.name for column in cursor.description or ()]
        assert names == ["time", "metric", "value"]
        rows = cursor.fetchall()
    assert all(row[0].tzinfo is not None for row in rows)
    return [row[1:] for row in rows]
