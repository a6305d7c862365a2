from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shared.masking import Mask
from tests.pictures import TROUBLES, Exported, broken, well
from tests.workers.fleet_env import free_port
from workers.http import Asked, HealthServer, Probes, serve
from workers.page.look import LastErrors
from workers.page.site import Site
from workers.troubles import Trouble

SECRET = "s3cr3t-word"

def site(exporter: Exported, *troubles: Trouble) -> Site:
    return Site(exporter, LastErrors(lambda: troubles, Mask([SECRET])))


def ask(site: Site, path: str, *, host: str = "127.0.0.1:1", peer: str = "127.0.0.1") -> int | None:
    answer = site.answer(Asked(path, host, peer))
    return int(answer.status) if answer else None


@contextmanager
def served(site: Site) -> Iterator[HealthServer]:
    server = serve(free_port(), Probes("metrics", bool, bool), pages=site.answer)
    try:
        yield server
    finally:
        server.stop()


def test_the_page_stands_beside_the_metrics() -> None:
    with served(site(Exported(broken()), *TROUBLES)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        found = {}
        for path in ("/", "/status.json", "/runbooks", "/metrics", "/nothing"):
            connection.request("GET", path)
            answer = connection.getresponse()
            found[path] = (answer.status, answer.read(), answer.headers)
        connection.close()
    assert {path: one[0] for path, one in found.items()} == {
        "/": 200, "/status.json": 200, "/runbooks": 200, "/metrics": 200, "/nothing": 404,
    }  # fmt: skip
    assert b"urgent" in found["/"][1]
    assert json.loads(found["/status.json"][1])["wakes"] is True
    assert found["/"][2]["Content-Security-Policy"].startswith("default-src 'none'")
    assert found["/"][2]["Cache-Control"] == "no-store"
    assert found["/"][2]["X-Content-Type-Options"] == "nosniff"


def test_it_answers_this_machine_by_a_name_of_this_machine_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FLEET_STATUS_OPEN", raising=False)
    here = site(Exported(well()))
    for path in ("/", "/status.json", "/runbooks"):
        for host in ("localhost:9540", "127.0.0.1", "[::1]:9540"):
            assert ask(here, path, host=host) == 200
        assert ask(here, path, peer="::ffff:127.0.0.1") == 200
        assert ask(here, path, peer="192.0.2.9") == 403
        assert ask(here, path, host="pretty.example.com") == 403
    assert ask(here, "/targets", peer="192.0.2.9") == 200
    assert ask(here, "/nothing", peer="192.0.2.9") is None
    monkeypatch.setenv("FLEET_STATUS_OPEN", "1")
    assert ask(here, "/", peer="192.0.2.9", host="pretty.example.com") == 200


def test_before_the_first_look_it_says_so() -> None:
    answer = site(Exported([], collected=False)).answer(Asked("/", "localhost", "::1"))
    assert answer is not None
    assert b"Nothing is known yet" in answer.body


def test_why_something_cannot_be_read_is_shown_masked() -> None:
    exporter = Exported(well())
    exporter.errors = {"books": f"Unavailable: {SECRET} is refused"}
    answer = site(exporter).answer(Asked("/", "localhost", "::1"))
    assert answer is not None
    assert b"reading books" in answer.body
    assert SECRET.encode() not in answer.body


def test_a_server_that_hangs_does_not_hold_up_the_page() -> None:
    going = threading.Event()
    looks = []

    def read() -> list[Trouble]:
        looks.append(1)
        going.wait(30)
        return TROUBLES

    errors = LastErrors(read, Mask())
    assert (errors(), errors()) == ((), ())
    assert len(looks) == 1  # the second look waits for the first one's answer
    going.set()
    assert errors() == TROUBLES
