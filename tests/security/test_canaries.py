from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.security.canaries import Canary, canary, search


@pytest.mark.parametrize(
    "shown",
    [
        lambda one: one.password,
        lambda one: quote(one.password, safe=""),
        lambda one: json.dumps({"password": one.password}),
        lambda one: one.key,
        lambda one: one.key.removeprefix("base64:"),
        lambda one: base64.b64encode(f"fleet:{one.password}".encode()).decode(),
        lambda one: base64.b64encode(f"fleets:{one.password}".encode()).decode(),
        lambda one: base64.b64encode(f"fleetss:{one.password}".encode()).decode(),
        lambda one: one.password.encode().hex(),
        lambda one: "***" + one.token[16:],
        lambda one: one.token[:16] + "***",
    ],
)
def test_a_canary_is_found_however_it_is_written(shown: Callable[[Canary], str]) -> None:
    one = canary("one")
    places = {"here": b"x " + shown(one).encode() + b" y", "there": b"nothing"}
    assert {(name, where) for name, where in search(places, [one, canary("two")])} == {
        ("one", "here")
    }
