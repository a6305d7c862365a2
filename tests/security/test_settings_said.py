"""What is wrong with a setting is said without the setting."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from shared.errors import FleetError
from shared.laravel.encrypter import Encrypter
from shared.settings import SECRETS, load
from tests.security.canaries import canary, search

SECRET = canary("secret")
BROKEN = {
    "no URL": SECRET.token,
    "a port that is no number": f"redis://own:{SECRET.token}@h:port/0",
    "an address that is not closed": f"mysql://own:{SECRET.token}@[::1/app",
    "a password with a slash": f"redis://own:{SECRET.token[:16]}/{SECRET.token[16:]}@h:1/0",
    "no host": f"rediss://:{SECRET.token}@",
    "another scheme": f"http://own:{SECRET.token}@h/app",
    "a database that is no number": f"redis://own:{SECRET.token}@h:1/none",
    "sentinels without a service": f"redis+sentinel://own:{SECRET.token}@h:1",
    "a key of the wrong length": f"base64:{SECRET.token}==",
}
URLS = tuple(name for name in SECRETS if name.endswith("_URL"))
ROLES = ("cli", "collector", "sync", "migrate")


def environ(folder: Path, role: str, **more: str) -> Mapping[str, str]:
    (folder / ".env").touch()
    if role != "sync":
        more.pop("FLEET_CREDENTIALS_KEY", None)
    return {
        "FLEET_ENV_FILE": str(folder / ".env"), "APP_NAME": "desk", "REDIS_PREFIX": "desk_",
        "DB_DATABASE": "desk", "DB_USERNAME": "desk", **more,
    }  # fmt: skip


def said(role: str, values: Mapping[str, str]) -> tuple[bool, str]:
    """Whether it was refused, and all that Python would print: causes and contexts, too."""
    try:
        found = load(role, values)
        if found.app_key is not None:
            Encrypter(found.app_key).encrypt_string("x")
    except Exception:  # noqa: BLE001 - whatever it is, a person reads it
        return True, traceback.format_exc()
    return False, f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", SECRETS)
def test_no_error_and_no_repr_of_settings_shows_a_secret(
    name: str, role: str, tmp_path: Path
) -> None:
    for what, value in BROKEN.items():
        refused, text = said(role, environ(tmp_path, role, **{name: value}))
        assert not search({what: text.encode()}, [SECRET]), f"{refused}: {text}"


@pytest.mark.parametrize("name", URLS)
def test_a_broken_address_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    values = environ(tmp_path, "cli", **{name: BROKEN["another scheme"]})
    with pytest.raises(FleetError, match=name):
        load("cli", values)


def test_what_is_no_secret_is_found_by_the_same_search(tmp_path: Path) -> None:
    refused, text = said("cli", environ(tmp_path, "cli", APP_ENV=SECRET.token))
    assert not refused
    assert search({"repr": text.encode()}, [SECRET])
