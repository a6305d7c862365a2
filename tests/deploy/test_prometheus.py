"""A real Prometheus with the rules of deploy/prometheus, at a real exporter."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shared.endpoints import MySQLSettings
from shared.mysql.connection import connect
from shared.telemetry import Meter
from tests.desk_tools import Prometheus, fleet_rules, prometheus
from tests.waiting import eventually
from tests.workers.fleet_env import basics, free_port, process
from workers import http

SECONDS = 30
PARKED = """INSERT INTO fleet_parked
 (stream, partition_no, entry_id, event_key, type, event_id, fields, data, reason, error)
 VALUES ('orders', 0, '1-0', '7', 'order.filled.1', 'e', '{}', '{', 'malformed', 'no JSON')"""


@pytest.fixture
def administrator(mysql_root: MySQLSettings, fleet_schema: str) -> Iterator[Any]:
    with closing(connect(mysql_root, fleet_schema)) as connection:
        yield connection


@pytest.fixture
def exporter(environ_for: Callable[..., dict[str, str]], tmp_path: Path) -> Iterator[int]:
    """The port of a running one; its FLEET_RUN_DIR is `tmp_path / "run"`."""
    port, run = free_port(), tmp_path / "run"
    run.mkdir()
    more = {"FLEET_METRICS_PORT": str(port), "FLEET_RUN_DIR": str(run), "FLEET_PARTITIONS": "4"}
    environ = basics() | environ_for("metrics", **more)
    with process([sys.executable, "-m", "workers.metrics"], environ, tmp_path / "log"):
        eventually(lambda: list(run.glob("metrics.*.port")), SECONDS)
        yield port


def fires(server: Prometheus, name: str, **labels: str) -> bool:
    found = [dict(alert.labels) for alert in server.alerts() if alert.name == name]
    return any(labels.items() <= one.items() for one in found)


@pytest.mark.any_database
def test_an_alert_fires_and_clears_and_processes_are_found(
    exporter: int, administrator: Any, tmp_path: Path
) -> None:
    worker = Meter()
    worker.count("fleet_operator_jobs_total", job_name="rebuild", outcome="failed")
    probes = http.Probes("rq", lambda: True, lambda: True)
    listening = http.serve(
        exporter, probes, registry=lambda: worker.registry, run_dir=str(tmp_path / "run")
    )
    with closing(_Stopped(listening)), prometheus(fleet_rules(exporter, every=1)) as server:
        eventually(lambda: server.query("fleet_collect_success == 1"), SECONDS)
        roles = {"metrics", "rq"}
        eventually(lambda: {row["role"] for row, _ in server.query("up == 1")} == roles, SECONDS)
        # Once each, though the exporter names itself among the processes.
        assert [value for _, value in server.query("count(fleet_collect_success)")] == [1]
        assert not fires(server, "FleetEventsParked")

        administrator.cursor().execute(PARKED)
        administrator.commit()
        parked = {"stream": "orders", "reason": "malformed", "severity": "page"}
        eventually(lambda: fires(server, "FleetEventsParked", **parked), SECONDS)
        administrator.cursor().execute("DELETE FROM fleet_parked")
        administrator.commit()
        eventually(lambda: not fires(server, "FleetEventsParked"), SECONDS)

        # What it had counted before anybody looked is no news.
        assert not fires(server, "FleetOperatorJobsFail")
        worker.count("fleet_operator_jobs_total", job_name="rebuild", outcome="failed")
        eventually(lambda: fires(server, "FleetOperatorJobsFail", job_name="rebuild"), SECONDS)


def test_nobody_who_tells_is_an_alert_too() -> None:
    """Held for 20 seconds: a restart of the exporter is none."""
    with prometheus(fleet_rules(free_port(), every=1)) as server:
        waiting = eventually(lambda: server.alerts("pending"), SECONDS)
        assert {alert.name for alert in waiting} == {"FleetMetricsMissing"}


class _Stopped:
    def __init__(self, server: http.HealthServer) -> None:
        self.close = server.stop
