from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from shared.errors import SettingsError
from shared.telemetry import Meter
from tests.workers.fleet_env import free_port
from workers.http import HealthServer, Probes, serve


def get(server: HealthServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def probes(*, live: bool = True, ready: bool = True) -> Probes:
    return Probes("streams", lambda: live, lambda: ready)


def test_each_process_takes_the_next_free_port() -> None:
    first = free_port()
    one, two = serve(first, probes()), serve(first, probes())
    try:
        assert one.port == first
        assert two.port > one.port
        assert get(two, "/ready")[0] == 200
    finally:
        one.stop()
        two.stop()


def test_says_who_it_is_and_how_it_is() -> None:
    server = serve(free_port(), probes(ready=False))
    try:
        status, body = get(server, "/ready?from=probe")
        assert status == 503
        assert json.loads(body)["role"] == "streams"
        assert json.loads(body)["ready"] is False
        assert get(server, "/live")[0] == 200
        assert get(server, "/nothing")[0] == 404
        assert get(server, "/live", "HEAD") == (200, b"")
    finally:
        server.stop()


def test_shows_the_declared_metrics() -> None:
    meter = Meter()
    meter.count("fleet_events_total", 7, stream="orders")

    def registry() -> CollectorRegistry:
        return meter.registry

    server = serve(free_port(), probes(), registry=registry)
    try:
        status, body = get(server, "/metrics")
        assert status == 200
        assert b'fleet_events_total{stream="orders"} 7.0' in body
    finally:
        server.stop()


def test_listens_on_loopback_only_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLEET_METRICS_HOST", raising=False)
    server = serve(free_port(), probes())
    try:
        assert server._server.server_address[0] == "127.0.0.1"
    finally:
        server.stop()


def test_writes_its_port_where_the_keeper_looks(tmp_path: Path) -> None:
    server = serve(free_port(), probes(), run_dir=str(tmp_path))
    try:
        (written,) = tmp_path.glob("streams.*.port")
        assert int(written.read_text()) == server.port
    finally:
        server.stop()


def test_beside_others_the_first_port_is_the_exporters(tmp_path: Path) -> None:
    first = free_port()
    roles = ("streams", "relay", "metrics")
    servers = [
        serve(first, Probes(role, lambda: True, lambda: True), run_dir=str(tmp_path))
        for role in roles
    ]
    try:
        assert servers[2].port == first
        assert first < servers[0].port < servers[1].port
    finally:
        for server in servers:
            server.stop()


def test_an_address_of_another_machine_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="FLEET_METRICS_HOST"):
        serve(free_port(), probes(), host="192.0.2.1")
