"""One server that is away, or hangs, hides only what stands in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from shared.errors import Unavailable
from tests.waiting import eventually
from workers.alerts import Sample
from workers.exposure import exporter
from workers.exposure.exporter import Exporter
from workers.exposure.samples import Section, Told, tell

Read = Callable[[Any], Iterator[Sample]]


def figure(name: str, value: float = 1) -> Read:
    return lambda _: iter([tell(name, value)])


def away(_: Any) -> Iterator[Sample]:
    raise Unavailable("away")
    yield


def exporter_of(sections: Mapping[str, Section], pings: Mapping[str, Read]) -> Exporter:
    asked = {name: Section((name,), read) for name, read in pings.items()}
    return Exporter(None, lambda _: sections, lambda _: asked)  # type: ignore[arg-type]


def here(_: Any) -> Iterator[Sample]:
    yield from ()


def values(samples: tuple[Sample, ...]) -> dict[str, float]:
    return {".".join((one.metric, *one.labels.values())): one.value for one in samples}


BOTH = {
    "one": Section(("mysql",), figure("fleet_outbox_waiting", 3)),
    "two": Section(("redis",), figure("fleet_redis_used_bytes", 4)),
}


def test_what_every_section_tells_is_told_together() -> None:
    found = values(exporter_of(BOTH, {"mysql": here, "redis": here}).turn())
    assert found.pop("fleet_collect_seconds") < 1
    assert found == {
        "fleet_outbox_waiting": 3, "fleet_redis_used_bytes": 4, "fleet_collect_success": 1,
        "fleet_server_up.mysql": 1, "fleet_server_up.redis": 1,
    }  # fmt: skip


def test_a_server_that_is_away_says_so_and_hides_no_other() -> None:
    sections = {**BOTH, "one": Section(("mysql",), away)}
    found = values(exporter_of(sections, {"mysql": away, "redis": here}).turn())
    assert (found["fleet_server_up.mysql"], found["fleet_server_up.redis"]) == (0, 1)
    assert "fleet_outbox_waiting" not in found
    assert found["fleet_redis_used_bytes"] == 4
    assert found["fleet_collect_success"] == 1  # what is wrong is said already


def test_what_cannot_be_read_of_a_server_that_answers_is_a_failed_collection() -> None:
    sections = {**BOTH, "one": Section(("mysql",), away)}
    found = values(exporter_of(sections, {"mysql": here, "redis": here}).turn())
    assert found["fleet_collect_success"] == 0
    assert found["fleet_redis_used_bytes"] == 4


def test_a_failed_reading_shows_no_old_figures() -> None:
    answers = iter([figure("fleet_outbox_waiting"), away, figure("fleet_outbox_waiting")])
    section = {"one": Section(("mysql",), lambda _: next(answers)(None))}
    made = exporter_of(section, {"mysql": here})
    told = [values(made.turn()) for _ in range(3)]
    assert ["fleet_outbox_waiting" in one for one in told] == [True, False, True]
    assert [one["fleet_collect_success"] for one in told] == [1, 0, 1]


def test_a_server_that_hangs_holds_up_nobody_for_a_second() -> None:
    released = threading.Event()

    def hangs(_: Any) -> Iterator[Sample]:
        released.wait(30)
        yield from ()

    sections = {**BOTH, "one": Section(("mysql",), hangs)}
    made = exporter_of(sections, {"mysql": hangs, "redis": here})
    started = time.monotonic()
    first, second = values(made.turn()), values(made.turn())
    assert time.monotonic() - started < 2.5
    assert first["fleet_collect_seconds"] < 1.2
    for found in (first, second):
        assert (found["fleet_server_up.mysql"], found["fleet_redis_used_bytes"]) == (0, 4)
    names = {"fleet-one", "fleet-ping-mysql"}
    hanging = [one for one in threading.enumerate() if one.name in names]
    assert len(hanging) == 2  # not two more at each turn
    released.set()
    eventually(lambda: values(made.turn())["fleet_server_up.mysql"] == 1)


def test_a_server_that_answers_late_is_not_away_and_one_that_hangs_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporter, "DEADLINE_SECONDS", 0.05)
    monkeypatch.setattr(exporter, "HANGS_SECONDS", 0.6)
    answering, released = threading.Event(), threading.Event()
    answering.set()

    def ping(_: Any) -> Iterator[Sample]:
        if not answering.is_set():
            released.wait(30)
        yield from ()

    made = exporter_of(BOTH, {"mysql": ping, "redis": here})
    eventually(lambda: values(made.turn())["fleet_server_up.mysql"] == 1)
    answering.clear()
    assert values(made.turn())["fleet_server_up.mysql"] == 1
    eventually(lambda: values(made.turn())["fleet_server_up.mysql"] == 0)
    answering.set()
    released.set()
    eventually(lambda: values(made.turn())["fleet_server_up.mysql"] == 1)


def test_figures_that_come_late_are_told_and_old_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporter, "DEADLINE_SECONDS", 0.05)
    monkeypatch.setattr(exporter, "STALE_SECONDS", 0.4)
    gates = [threading.Event(), threading.Event()]
    turns = iter(gates)

    def slow(_: Any) -> Iterator[Sample]:
        next(turns).wait(30)
        yield tell("fleet_outbox_waiting", 3)

    made = exporter_of({"one": Section(("mysql",), slow)}, {"mysql": here})
    assert "fleet_outbox_waiting" not in values(made.turn())
    gates[0].set()
    eventually(lambda: "fleet_outbox_waiting" in values(made.turn()))
    eventually(lambda: "fleet_outbox_waiting" not in values(made.turn()))
    gates[1].set()


def test_a_scrape_shows_the_newest_collection_in_the_form_of_prometheus() -> None:
    samples: list[Sample] = []
    registry = CollectorRegistry()
    registry.register(Told(lambda: samples))
    assert not list(registry.collect())
    of = {"consumer": "ledger", "stream": "orders", "partition": 3}
    samples[:] = [tell("fleet_lag_events", 7, **of)]
    wanted = {name: str(value) for name, value in of.items()}
    assert registry.get_sample_value("fleet_lag_events", wanted) == 7
    samples[:] = []
    assert registry.get_sample_value("fleet_lag_events", wanted) is None


def test_what_is_not_declared_is_an_error() -> None:
    with pytest.raises(KeyError):
        tell("fleet_lag_evnets", 1)
    with pytest.raises(ValueError, match="labels"):
        tell("fleet_lag_events", 1, stream="orders")
