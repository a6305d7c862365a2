"""A whole fleet whose secrets are canaries, under traffic and errors: none of them is to be seen.

Every search is shown to be able to fail: one canary that is no secret stands in each place, and
must be found there.
"""

from __future__ import annotations

import gzip
import os
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.chaos.own_fleet import EVERY_ROLE, own_fleet
from tests.event_samples import SIGNAL
from tests.security import collecting
from tests.security.canaries import Canary, Places, search
from tests.security.listeners import Listener, listeners_at, listeners_of
from tests.security.secret_fleet import CommandLines, SecretFleet
from tests.security.sentry_sink import SentrySink, sentry_sink
from tests.waiting import eventually
from workers.reporting import EventSender, Report, Summary, task_events
from workers.wiring import make_app

pytestmark = pytest.mark.any_database

ROLES = (*EVERY_ROLE, "flower")
KINDS = ("logs", "sentry", "flower", "metrics", "pages", "command lines", "redis", "mysql",
         "timescale", "files", "commands")  # fmt: skip

SETTINGS = "/api/workers?refresh=1"
"""Flower asks each node how it is set."""
EVENTS = r"redis own_streams:\{orders:.*|mysql app\.fleet_(outbox|parked)\.data"
MAY_STAND = {
    # What Laravel put there itself, and what we set aside of it unread.
    "argument": r"redis (own_(queues|fleet:quarantine)|trade_desk_horizon):.*"
                r"|mysql app_laravel\.failed_jobs\.payload|mysql app\.fleet_quarantine\.payload",
    "token_column": r"mysql app_laravel\.notes\.api_token",
    "hashed_column": r"mysql app_laravel\.notes\.author",
    # An event as it came.
    "named": rf"{EVENTS}",
    # The words for what is wrong with a field quote it: in MySQL, in its copies, on our page.
    "event": rf"{EVENTS}|mysql app\.fleet_(parked\.error|account_state\.reason)"
             r"|mysql app_audit\.fleet_change_log\.row_(before|after)|redis own_streams:\{cdc:0\}"
             r"|timescale (change_event|row_state)|pages /(status\.json)?",
    # Sentry is told who asks.
    "sentry": r"sentry header",
    "control": r".*",
}  # fmt: skip


class Evidence(NamedTuple):
    """places: by kind. listening: by role."""

    canaries: Mapping[str, Canary]
    places: Mapping[str, Places]
    listening: Mapping[str, set[Listener]]
    without_login: Mapping[str, int]
    unread: list[str]


@pytest.fixture(scope="module")
def evidence(
    servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Evidence]:
    folder = tmp_path_factory.mktemp("canary")
    with sentry_sink() as sink, CommandLines() as lines, own_fleet(
        servers, folder, kind=SecretFleet
    ) as fleet:
        assert isinstance(fleet, SecretFleet)
        fleet.sentry_port = sink.port
        asked, misspelt = fleet.every_command(), fleet.misspelt()
        fleet.start(*ROLES)
        _work(fleet)
        commands, _ = asked.communicate(timeout=60)
        misspelt.wait(60)
        fleet.until(lambda: b"broker_url" in fleet.flower(SETTINGS)[1])
        calm = {f"before {path}": page for path, page in collecting.pages_of_flower(fleet).items()}
        _suffer(fleet)
        _plant(fleet, sink, folder)
        listening = {role: listeners_of(pids) for role, pids in fleet.pids().items()}
        yield Evidence(
            fleet.canaries, _collect(fleet, sink, lines, commands, calm), listening,
            {path: fleet.flower(path, login=False)[0] for path in collecting.FLOWER}, sink.unread,
        )  # fmt: skip


def _work(fleet: SecretFleet) -> None:
    """What goes well, and what one event, job, key or handler does wrong."""
    control = fleet.canaries["control"].token
    fleet.trade(42, 4)
    fleet.note(control)
    fleet.secret_note()
    fleet.poison()
    fleet.failing_handler()
    fleet.record("signal.received.1", SIGNAL["channel_id"], SIGNAL)
    fleet.failing_jobs()
    fleet.refuse_key()
    run = fleet.mysql.run
    fleet.until(lambda: run("SELECT COUNT(*) FROM fleet_parked")[0][0] >= 5)
    fleet.until(lambda: run("SELECT COUNT(*) FROM app_laravel.failed_jobs")[0][0] >= 3)
    fleet.until(lambda: run("SELECT 1 FROM fleet_account_state WHERE status = 'suspended'"))
    written = f"SELECT 1 FROM app_audit.fleet_change_log WHERE row_after LIKE '%{control}%'"  # noqa: S608 - our own
    fleet.until(lambda: run(written))
    assert fleet.timescale is not None
    history = fleet.timescale.run
    copied = f"SELECT 1 FROM fleet.row_state r WHERE r::text LIKE '%{control}%'"  # noqa: S608 - our own
    fleet.until(lambda: history(copied))


def _suffer(fleet: SecretFleet) -> None:
    """Servers that refuse the passwords, then servers that are not there."""
    with fleet.other_passwords():
        fleet.until(lambda: _saying(fleet, b"MySQL 1045") >= 4)
        fleet.until(lambda: _saying(fleet, b"invalid username-password") >= 4)
    assert fleet.timescale_gate is not None
    fleet.timescale_gate.refuse()
    fleet.mysql.kill()
    fleet.until(lambda: _saying(fleet, b"MySQL 2002") >= 3)
    fleet.mysql.start()
    fleet.timescale_gate.heal()
    for role in ("metrics", "flower", "streams"):
        fleet.until(lambda role=role: fleet.is_ready(role), 60, role)  # type: ignore[misc]


def _saying(fleet: SecretFleet, words: bytes) -> int:
    return sum(words in text for text in fleet.logs().values())


def _plant(fleet: SecretFleet, sink: SentrySink, folder: Path) -> None:
    """The control, wherever it is not yet."""
    control = fleet.canaries["control"].token
    with (folder / "control.log").open("w") as log:
        log.write(f"somebody wrote {control}\n")
    body = gzip.compress(f'{{}}\n{{"type": "event"}}\n{{"message": "{control}"}}'.encode())
    request = urllib.request.Request(f"http://127.0.0.1:{sink.port}/api/1/envelope/", body)
    request.add_header("Content-Encoding", "gzip")
    urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - loopback
    (folder / "run" / "control").write_text(control)
    with closing(fleet.client()) as redis:
        redis.set("own_control", control)
    fleet.mysql.run(f"UPDATE fleet_parked SET reason = '{control}', error = '{control}' LIMIT 1")  # noqa: S608
    subprocess.run(["/bin/sh", "-c", "sleep 0.5", control], check=True)
    app = make_app(fleet.settings("streams"), "tests")
    with closing(app), closing(EventSender(app, "control@here")) as sender:
        for type_, fields in task_events(Summary.of(Report(control, {}, (), 1, "", ""))):
            sender.send(type_, fields)
    eventually(lambda: control.encode() in fleet.flower("/api/tasks")[1])
    eventually(lambda: control.encode() in (fleet.ask("metrics", "/metrics") or b""), 20)


def _collect(
    fleet: SecretFleet, sink: SentrySink, lines: CommandLines, commands: str, calm: Places
) -> dict[str, Places]:
    return {
        "logs": fleet.logs(),
        "sentry": {"header": b"\n".join(sink.headers), "items": b"\n".join(sink.items)},
        "flower": {**calm, **collecting.pages_of_flower(fleet)},
        "metrics": collecting.metrics(fleet),
        "pages": collecting.pages_of_the_exporter(fleet),
        "command lines": {"/proc": b"\n".join(lines.seen)},
        "redis": collecting.redis(fleet),
        "mysql": collecting.mysql(fleet),
        "timescale": collecting.timescale(fleet),
        "files": collecting.files(fleet.folder),
        "commands": {"fleet": commands.encode()},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_is_to_be_seen(evidence: Evidence, kind: str) -> None:
    found = search(evidence.places[kind], evidence.canaries.values())
    assert "control" in {one.name for one in found}, "this search finds nothing"
    seen = {one for one in found
            if not re.fullmatch(MAY_STAND.get(one.name, ""), f"{kind} {one.where}")}  # fmt: skip
    assert not seen, [_context(evidence, kind, *one) for one in sorted(seen)]


def _context(evidence: Evidence, kind: str, name: str, where: str) -> str:
    """What stands around the first one."""
    held = evidence.places[kind][where]
    at = min(held.find(form) for form in evidence.canaries[name].forms() if form in held)
    return f"{name} in {where}: {held[max(at - 300, 0) : at + 120]!r}"


def test_all_of_it_was_looked_at(evidence: Evidence) -> None:
    """Every role logged, and showed its figures; what failed was told Sentry."""
    places = evidence.places
    assert {f"{role}.log" for role in ROLES} <= places["logs"].keys()
    assert {*EVERY_ROLE} <= places["metrics"].keys()
    assert not evidence.unread
    for role in ("streams", "laravel"):
        assert f'"role":"{role}"'.encode() in places["sentry"]["items"], role
    assert places["commands"]["fleet"].count(b"MySQL 1045") > 20
    assert b"broker_url" in places["flower"][f"before {SETTINGS}"]
    assert "own_streams:{cdc:0}" in places["redis"]
    assert places["timescale"].keys() >= {"change_event", "row_state"}
    assert {name.split(".")[0] for name in places["mysql"]} == {"app", "app_laravel", "app_audit"}


def test_what_must_hold_a_secret_holds_it(evidence: Evidence) -> None:
    """Else its canary was never in danger."""
    where: dict[str, set[str]] = {}
    for kind in ("redis", "mysql", "sentry"):
        for one in search(evidence.places[kind], evidence.canaries.values()):
            where.setdefault(one.name, set()).add(f"{kind} {one.where}")
    for name in ("argument", "token_column", "hashed_column", "event", "named", "sentry"):
        assert where.get(name), name


# -- listeners -------------------------------------------------------------------------------------


def test_every_listener_of_a_fleet_is_local(evidence: Evidence) -> None:
    assert evidence.listening.keys() == {*ROLES}
    for role, found in evidence.listening.items():
        assert found, f"{role} listens nowhere"
        assert not [one for one in found if not one.is_local], role


def test_flower_asks_for_a_password(evidence: Evidence) -> None:
    """But for its figures, which Prometheus reads, and which name tasks and nodes alone."""
    refused = {path for path, status in evidence.without_login.items() if status == 401}
    assert {*collecting.FLOWER} - refused == {"/metrics"}


def test_the_servers_of_a_desk_are_local(servers: Mapping[str, str]) -> None:
    ports = {int(servers[name]) for name in ("DB_PORT", "REDIS_PORT")}
    found = listeners_at(ports)
    assert {one.port for one in found} == ports
    assert all(one.is_local for one in found)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "::ffff:0.0.0.0"])  # noqa: S104 - on purpose
def test_a_listener_that_is_open_to_all_is_seen(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listening:
        listening.bind((address, 0))
        listening.listen()
        port = listening.getsockname()[1]
        (found,) = [one for one in listeners_of([os.getpid()]) if one.port == port]
    assert not found.is_local
