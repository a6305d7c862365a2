"""What a dashboard says: rows of panels, as the tables in `boards` write them.

A panel names what it asks. What its metrics mean stands in `shared.metrics`; when a figure is too
much, and what to do then, in `workers.alerts`. So neither is written twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from workers.alerts import ALERTS, Below, Counted, Missing, promql

LOOKED_AT = "fleet_collect_success"


class Query(NamedTuple):
    """asks: PromQL, or SQL for TimescaleDB. legend: Grafana fills `{{label}}` in."""

    asks: str
    legend: str = ""


class Limit(NamedTuple):
    """From where on a figure is bad."""

    value: float
    below: bool
    severity: Literal["page", "ticket"]


class Panel(NamedTuple):
    """unit: Grafana's name of it. alert: the one that judges the figure. plane: where more of it
    is. width: of 24.
    """

    title: str
    draws: Literal["figure", "lines", "bars", "table", "firing"]
    unit: str
    queries: tuple[Query, ...]
    source: Literal["prometheus", "timescale"] = "prometheus"
    alert: str = ""
    limit: Limit | None = None
    plane: str = ""
    about: str = ""
    width: int = 8
    height: int = 7


class Row(NamedTuple):
    title: str
    panels: tuple[Panel, ...]


class Board(NamedTuple):
    """plane: of `workers.alerts`, or `overview`; its file and its address are called so."""

    plane: str
    title: str
    about: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> Iterator[Panel]:
        return (panel for row in self.rows for panel in row.panels)

    @property
    def uid(self) -> str:
        return uid_of(self.plane)


def uid_of(plane: str) -> str:
    return f"tradefleet-{plane}"


# -- panels ----------------------------------------------------------------------------------------


def figure(
    title: str, unit: str, asks: str = "", *, alert: str = "", plane: str = "", about: str = ""
) -> Panel:
    """One number, coloured by the alert that judges it. Without a question: what the alert asks,
    the worst of all. With one of its own it is a count or a sum, and bad where the alert's is.
    """
    limit = _limit(alert) if alert else None
    if limit is not None and asks and limit.below:
        limit = Limit(0, below=False, severity=limit.severity)  # how many are below
    query = Query(asks or _worst(alert))
    plane = plane or (ALERTS[alert].plane if alert else "")
    return Panel(title, "figure", unit, (query,), alert=alert, limit=limit, plane=plane,
                 about=about, width=4, height=4)  # fmt: skip


def lines(
    title: str, unit: str, *asks: str | Query, alert: str = "", about: str = "", width: int = 8
) -> Panel:
    """Over time. Without a question: exactly what the alert judges, with its limit drawn."""
    queries = tuple(_query(one) for one in asks) or (_query(judged(alert)),)
    limit = _limit(alert) if alert else None
    return Panel(title, "lines", unit, queries, alert=alert, limit=limit, about=about, width=width)


def table(title: str, unit: str, *asks: Query, width: int = 12) -> Panel:
    """Now, a line for each set of labels; each question is a column, called as its legend."""
    return Panel(title, "table", unit, asks, width=width)


def history(
    title: str,
    unit: str,
    sql: str,
    *,
    draws: Literal["lines", "bars"] = "lines",
    about: str = "",
    width: int = 12,
) -> Panel:
    """Of TimescaleDB: columns time, metric and value."""
    return Panel(title, draws, unit, (Query(sql),), "timescale", about=about, width=width)


def firing() -> Panel:
    """What Prometheus says is wrong, and where to begin."""
    asks = (
        'label_replace(ALERTS{alertname=~"Fleet.+", alertstate="firing"},'
        ' "do", "$1", "alertname", "(.+)")'
    )
    about = "Alerts of deploy/prometheus/alerts.yml that fire; a click leads to plane and runbook."
    return Panel("What is wrong, and where to begin", "firing", "none", (Query(asks),),
                 about=about, width=16, height=8)  # fmt: skip


# -- questions -------------------------------------------------------------------------------------


def judged(alert: str) -> str:
    """What the alert compares with its limit."""
    condition = ALERTS[alert].when
    if isinstance(condition, Missing):
        return f"max({condition.metric})"
    if isinstance(condition, Counted):
        where = ",".join(f'{name}="{value}"' for name, value in condition.where)
        series = condition.metric + (f"{{{where}}}" if where else "")
        return _risen(series, condition.minutes, condition.by)
    return promql(condition).rpartition(" < " if isinstance(condition, Below) else " > ")[0]


def total(metric: str, *by: str, where: str = "", beside: str = "") -> str:
    """The sum of a gauge, each once however many exporters run.

    beside: where no series means none, a metric that is always told when this one could be read.
    Without it nothing could be told from nothing known, and the latter must not look well.
    """
    found = f"sum(max by ({', '.join(by)}) ({metric}{where}))"
    return f"{found} or 0 * max({beside})" if beside else found


def below_one(metric: str, *by: str) -> str:
    """How many of a gauge are not 1."""
    return f"count(min by ({', '.join(by)}) ({metric}) < 1) or 0 * max({metric})"


def rate(counter: str, *by: str, where: str = "") -> str:
    """Per second, of all processes together."""
    return f"sum{_by(by)} (rate({counter}{where}[$__rate_interval]))"


def risen(counter: str, *by: str, minutes: int = 5) -> str:
    """Within some minutes: for what happens seldom."""
    return _risen(counter, minutes, by)


def quantile(share: float, histogram: str, *by: str) -> str:
    inner = rate(f"{histogram}_bucket", "le", *by)
    return f"histogram_quantile({share:g}, {inner})"


def _risen(series: str, minutes: int, by: tuple[str, ...]) -> str:
    """`increase` does not see the first count of a series: what was not there before counts whole,
    if the fleet was looked at then.
    """
    ago = f"offset {minutes}m"
    new = f"({series} unless {series} {ago} and on () {LOOKED_AT} {ago})"
    return f"sum{_by(by)} ({new} or increase({series}[{minutes}m]))"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _worst(alert: str) -> str:
    """The alert's question over all labels."""
    asked = judged(alert)
    if " by (" not in asked:
        return asked
    return f"{'min' if isinstance(ALERTS[alert].when, Below) else 'max'}({asked})"


def _query(asked: str | Query) -> Query:
    """A question without a legend is called by the labels that it keeps."""
    if isinstance(asked, Query):
        return asked
    found = re.search(r"by \(([^)]*)\)", asked)
    kept = [name for name in (found[1].split(", ") if found else ()) if name != "le"]
    return Query(asked, " ".join(f"{{{{{name}}}}}" for name in kept))


def _limit(alert: str) -> Limit | None:
    row = ALERTS[alert]
    if isinstance(row.when, Missing):
        return Limit(1, below=True, severity=row.severity)
    return Limit(row.when.limit, isinstance(row.when, Below), row.severity)
