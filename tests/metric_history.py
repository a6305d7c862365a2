"""What Prometheus would know of a fleet after a while: every metric of the table with all its
labels, as OpenMetrics. Gauges stand still and counters rise evenly, so answers can be told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from shared.metrics import FLEET, METRICS, Metric
from workers.alerts import ALERTS

LABELS: Mapping[str, Sequence[str]] = {
    "consumer": ("books",),
    "stream": ("orders", "signals"),
    "venue": ("binance", "bybit", "okx"),
    "egress": ("eu", "us"),
    "tier": ("hot", "warm", "cold"),
    "state": ("active", "suspended", "ready"),
    "outcome": ("done", "failed"),
    "sink": ("audit", "timescale"),
    "server": ("mysql", "redis", "timescale"),
    "queue": ("fleet", "fleet-events"),
    "task": ("trim", "prune", "reconcile", "day_close", "quality"),
}
"""Of the others there are two each: `a` and `b`."""

GAUGE, COUNTER = Metric("gauge", (), ""), Metric("counter", (), "")
PROCESSES = {
    "process_resident_memory_bytes": GAUGE,
    "process_cpu_seconds_total": COUNTER,
    "process_open_fds": GAUGE,
    "up": GAUGE,
}
ROLES = ("streams", "relay", "metrics")


class Span(NamedTuple):
    """first, last: seconds since 1970, a sample each `every`. exporters: how many tell the same."""

    first: int
    last: int
    every: int
    exporters: int = 1


def of_fleet(span: Span, partitions: int) -> Iterator[str]:
    """Every metric, the roles' processes, and every alert firing."""
    for name, metric in METRICS.items():
        told = span.exporters if name in FLEET else 1
        for labels in _sets(metric, partitions):
            for exporter in range(told):
                of = {"instance": f"127.0.0.1:{9540 + exporter}", "job": "fleet", "role": "metrics"}
                assert not of.keys() & labels.keys(), "Prometheus has these labels of its own"
                of |= labels
                yield from _series(name, metric, of, span)
    for number, role in enumerate(ROLES):
        of = {"instance": f"127.0.0.1:{9600 + number}", "role": role}
        for name, kind in PROCESSES.items():
            yield from _series(name, kind, of, span)
    for name, alert in ALERTS.items():
        of = {"alertname": name, "severity": alert.severity, "plane": alert.plane}
        yield from _series("ALERTS", GAUGE, {**of, "alertstate": "firing"}, span)


def of_one(name: str, value: float, span: Span) -> Iterator[str]:
    return (f"{name} {value:g} {at}\n" for at in range(span.first, span.last + 1, span.every))


def openmetrics(samples: Iterable[str]) -> str:
    return f"{''.join(samples)}# EOF\n"


def _sets(metric: Metric, partitions: int) -> Iterator[dict[str, str]]:
    numbers = [str(number) for number in range(partitions)]
    values = [
        numbers if label == "partition" else LABELS.get(label, ("a", "b"))
        for label in metric.labels
    ]
    return (dict(zip(metric.labels, one, strict=True)) for one in product(*values))


def _series(
    name: str, metric: Metric, labels: Mapping[str, str], span: Span
) -> Iterator[str]:
    told = ",".join(f'{label}="{value}"' for label, value in labels.items())
    if metric.kind == "histogram":
        for place, bound in enumerate((*metric.buckets, float("inf")), 1):
            shown = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield from _samples(f'{name}_bucket{{{told},le="{shown}"}}', place, span)
        yield from _samples(f"{name}_sum{{{told}}}", 1, span)
        yield from _samples(f"{name}_count{{{told}}}", len(metric.buckets) + 1, span)
    else:
        yield from _samples(f"{name}{{{told}}}", int(metric.kind == "counter"), span)


def _samples(series: str, slope: int, span: Span) -> Iterator[str]:
    """slope: of a counter, in each second; 0: a gauge, which says 1."""
    for at in range(span.first, span.last + 1, span.every):
        yield f"{series} {(at - span.first) * slope or 1} {at}\n"
