"""A node of the role `userstreams` as the Procfile starts it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.waiting import eventually
from tests.workers.fleet_env import basics, free_port, process
from tests.workers.userstreams.conftest import Streams
from workers.roles import ROLES

pytestmark = pytest.mark.database

START_SECONDS = 30


def metrics(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


def test_a_real_node_hears_is_ready_and_stops_by_itself(
    streams_at: Callable[..., Streams], tmp_path: Path
) -> None:
    streams = streams_at("okx", "linear")
    port = free_port()
    more = {"FLEET_ROLE": "userstreams", "FLEET_METRICS_PORT": str(port)}
    command = ROLES["userstreams"].command.replace("${FLEET_SLOT:-1}", "1").split()
    log = tmp_path / "node.log"
    with process(command, {**streams.environ, **basics(), **more}, log) as node:
        eventually(lambda: streams.down() == [], START_SECONDS)
        streams.desk.trade(1)
        eventually(lambda: len(streams.told(1)) == 1)
        for path in ("ready", "live"):
            assert urlopen(f"http://127.0.0.1:{port}/{path}").status == 200
        eventually(lambda: 'fleet_streams_up{venue="okx"} 2.0' in metrics(port))
        assert 'fleet_stream_events_total{venue="okx"} 1.0' in metrics(port)
        node.send_signal(signal.SIGTERM)
        assert node.wait(START_SECONDS) == 0
    # Celery's own farewell is no JSON.
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert [one for one in lines if one["level"] in {"error", "critical"}] == []
    assert "secret-1" not in log.read_text()
    assert streams.gaps(1) == ["stopped"]
