"""The overview of deploy/grafana on a real Prometheus that knows an hour of a whole fleet."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles
from typing import Any

from deploy.grafana.boards.overview import BOARD
from deploy.grafana.classic import dashboard
from tests.bench.figures import Figure
from tests.desk_tools import prometheus
from tests.metric_history import Span, of_fleet, openmetrics

PARTITIONS = 32
EVERY = 5
TARGET_MS = 200
AT_ONCE = 6
"""Requests that a browser has open to one server."""
STEP = 10
END = 1_780_003_800
HOUR = 3600
_COUNT = 'count({__name__=~".+"})'


def overview(*, rounds: int) -> Figure:
    """Each panel asks as Grafana does when the page is opened: all questions, six at a time."""
    history = openmetrics(of_fleet(Span(END - HOUR, END, EVERY), PARTITIONS))
    options = ("--storage.tsdb.retention.time=100y",)
    with prometheus({"prometheus.yml": "global: {}\n"}, *options, history=history) as server:
        asked = list(_questions(server.ask))
        (count,) = server.ask("query", query=_COUNT, time=str(END))["result"]
        series = int(count["value"][1])
        with ThreadPoolExecutor(AT_ONCE) as browser:
            taken: list[float] = []
            opened: list[float] = []
            for _ in range(rounds):
                started = time.perf_counter()
                taken += browser.map(_milliseconds, asked)
                opened.append((time.perf_counter() - started) * 1000)
    p95 = quantiles(taken, n=20)[18]
    return Figure(
        "queries of the overview dashboard, an hour",
        f"p95 < {TARGET_MS} ms",
        f"p50 {median(taken):.1f}, p95 {p95:.1f}, worst {max(taken):.0f} ms;"
        f" the whole page {median(opened):.0f} ms",
        p95 < TARGET_MS,
        f"{series:,} series every {EVERY} s, {PARTITIONS} partitions; {len(asked)} queries,"
        f" {AT_ONCE} at a time, {rounds} times",
    )


def _questions(ask: Callable[..., Any]) -> list[Callable[[], Any]]:
    found = []
    for panel in BOARD.panels:
        for query in panel.queries:
            asks = query.asks.replace("$__rate_interval", f"{4 * EVERY}s")
            now = panel.draws in {"figure", "table", "firing"}
            found.append(_now(ask, asks) if now else _hour(ask, asks))
    (marks,) = dashboard(BOARD)["annotations"]["list"]
    return [*found, _hour(ask, marks["expr"])]


def _now(ask: Callable[..., Any], asks: str) -> Callable[[], Any]:
    return lambda: ask("query", query=asks, time=str(END))["result"]


def _hour(ask: Callable[..., Any], asks: str) -> Callable[[], Any]:
    span = {"start": str(END - HOUR), "end": str(END), "step": str(STEP)}
    return lambda: ask("query_range", query=asks, **span)["result"]


def _milliseconds(question: Callable[[], Any]) -> float:
    started = time.perf_counter()
    found = question()
    taken = (time.perf_counter() - started) * 1000
    assert found
    return taken
