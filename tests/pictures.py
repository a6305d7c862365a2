"""A fleet as its exporter tells it, made up: for tests of the page and of the terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from shared.metrics import FLEET
from workers.alerts import Sample
from workers.page.picture import Picture, picture
from workers.troubles import Trouble

NOW = datetime(2026, 7, 21, 3, 0, tzinfo=UTC)
_LABELS = {
    "consumer": "ledger", "stream": "orders", "reason": "invalid_json", "venue": "binance",
    "egress": "eu", "tier": "active", "state": "active", "queue": "fleet", "task": "fleet.trim",
    "sink": "audit", "server": "mysql", "check": "fills_have_positions", "cause": "disconnected",
    "dimension": "completeness", "kind": "cash_conflict",
}  # fmt: skip
# What is wrong at nought; everything else is well there.
_WELL = {
    "fleet_partition_owned": 1.0, "fleet_server_up": 1.0, "fleet_collect_success": 1.0,
    "fleet_cdc_owned": 1.0, "fleet_redis_durable": 1.0, "fleet_quality_met": 1.0,
    "fleet_cdc_purge_seconds": float("inf"),
}  # fmt: skip
PARTITIONS = 32


def sample(metric: str, value: float, **labels: str) -> Sample:
    wanted = FLEET[metric].labels
    found = {**_LABELS, **labels}
    return Sample(metric, {name: found.get(name, "0") for name in wanted}, float(value))


def well() -> list[Sample]:
    """Every metric once, every partition's once for each, and nothing wrong."""
    told = [
        sample(metric, _WELL.get(metric, 0.0), partition=str(number))
        for metric, row in FLEET.items()
        for number in range(PARTITIONS if "partition" in row.labels else 1)
    ]
    return [one for one in told if one.metric != "fleet_cdc_stopped"]


def broken() -> list[Sample]:
    """A night to remember: something of every plane."""
    return [
        *well(),
        sample("fleet_partition_halted", 1, partition="7"),
        sample("fleet_partition_owned", 0, partition="9"),
        sample("fleet_parked_open", 12, reason="handler_failed"),
        sample("fleet_exchange_accounts", 2, state="suspended"),
        sample("fleet_cdc_stopped", 1, reason="purged"),
        sample("fleet_laravel_queue_oldest_seconds", 312.5),
        sample("fleet_server_up", 0, server="timescale"),
    ]


TROUBLES = [
    Trouble("FleetEventsParked", NOW, "orders:7 1764000000123-0 order.filled.1",
            "invalid_json: <script>alert('x')</script> " + "x" * 200,
            "fleet parked show 1764000000123-0"),
    Trouble("FleetCaptureStopped", None, "the collector", "the log was purged",
            "fleet cdc restart"),
]  # fmt: skip


def seen(samples: list[Sample], troubles: list[Trouble] | None = None) -> Picture:
    return picture(NOW, samples, troubles or [])


class Exported:
    """What a page asks an exporter for."""

    def __init__(self, samples: list[Sample], *, collected: bool = True) -> None:
        self.samples: tuple[Sample, ...] = tuple(samples)
        self.errors: Mapping[str, str] = {}
        self.collected = collected
        self.turns = 0

    @property
    def turned_at(self) -> float:
        return time.monotonic()

    def turn(self) -> None:
        self.turns += 1
