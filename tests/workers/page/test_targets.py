from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from shared.masking import Mask
from tests.pictures import Exported
from workers.http import Asked
from workers.page.look import LastErrors
from workers.page.site import Site

DEAD = 4_194_304  # beyond the largest pid


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLEET_RUN_DIR", str(tmp_path))
    monkeypatch.delenv("FLEET_METRICS_HOST", raising=False)
    return tmp_path


def targets(host: str = "127.0.0.1:9540") -> list[dict[str, object]]:
    site = Site(Exported([]), LastErrors(tuple, Mask()))
    answer = site.answer(Asked("/targets", host, "127.0.0.1"))
    assert answer is not None
    assert answer.kind == "application/json"
    found: list[dict[str, object]] = json.loads(answer.body)
    return found


def target(address: str, role: str) -> dict[str, object]:
    return {"targets": [address], "labels": {"role": role}}


def test_every_living_process_is_a_target_and_a_child_counts_for_its_role(run_dir: Path) -> None:
    me = os.getpid()
    (run_dir / f"streams.{me}.port").write_text("9541")
    (run_dir / f"jobs.{me}.port").write_text("9542")
    (run_dir / f"jobs-child.{me}.port").write_text("9543")
    (run_dir / f"relay.{DEAD}.port").write_text("9544")
    (run_dir / f"sync.{me}.port").write_text("")  # being written
    (run_dir / "flower.port").write_text("5555")  # not one of ours
    assert targets() == [
        target("127.0.0.1:9543", "jobs"),
        target("127.0.0.1:9542", "jobs"),
        target("127.0.0.1:9541", "streams"),
    ]


def test_processes_that_listen_everywhere_are_reached_as_the_asker_reached_us(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_dir / f"streams.{os.getpid()}.port").write_text("9541")
    monkeypatch.setenv("FLEET_METRICS_HOST", "0.0.0.0")  # noqa: S104 - nothing listens
    assert targets("fleet-1.internal:9540") == [target("fleet-1.internal:9541", "streams")]
    assert targets("[2001:db8::1]:9540") == [target("[2001:db8::1]:9541", "streams")]
    assert targets('x", "evil') == [target("127.0.0.1:9541", "streams")]
    monkeypatch.setenv("FLEET_METRICS_HOST", "192.0.2.7")
    assert targets("fleet-1.internal:9540") == [target("192.0.2.7:9541", "streams")]


def test_without_a_run_folder_there_are_no_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLEET_RUN_DIR", raising=False)
    assert targets() == []
