from __future__ import annotations

import base64
import copy
import io
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from shared.errors import SettingsError
from shared.exchanges.keys import Keys
from shared.laravel.encrypter import Encrypter
from shared.masking import Mask
from shared.settings import Settings, load
from shared.telemetry import configure_logs, log
from workers.sync.credentials import Credentials, CredentialsError

MASTER = "base64:" + base64.b64encode(b"\x01" * 32).decode()
OLDER = "base64:" + base64.b64encode(b"\x02" * 32).decode()
OWN = "base64:" + base64.b64encode(b"\x03" * 32).decode()
CANARY = "canary-7f3a9c51e2"
API_KEY, SECRET, PASSPHRASE = f"{CANARY}-key", f"{CANARY}-secret", f"{CANARY} phrase!"


def settings_with(**more: str) -> Settings:
    environ = {
        "APP_NAME": "desk",
        "DB_DATABASE": "desk",
        "DB_USERNAME": "desk",
        "REDIS_PREFIX": "desk:",
        "FLEET_ENV_FILE": "/dev/null",
    }
    return load("sync", environ | more)


def sealed_by(key: str) -> Callable[[str], str]:
    return Encrypter(SecretStr(key)).encrypt_string


def opened(credentials: Credentials, key: str = MASTER, secret: str = SECRET) -> Keys:
    seal = sealed_by(key)
    return credentials.open(7, seal(API_KEY), seal(secret), seal(PASSPHRASE))


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(settings_with(APP_KEY=MASTER, APP_PREVIOUS_KEYS=OLDER))


def test_columns_of_laravel_are_opened(credentials: Credentials) -> None:
    keys = opened(credentials)
    assert (keys.api_key, keys.secret, keys.passphrase) == (API_KEY, SECRET, PASSPHRASE)


def test_what_was_sealed_before_the_master_key_changed_is_opened(credentials: Credentials) -> None:
    assert opened(credentials, OLDER).secret == SECRET


def test_a_venue_without_a_passphrase_needs_none(credentials: Credentials) -> None:
    seal = sealed_by(MASTER)
    assert credentials.open(7, seal(API_KEY), seal(SECRET), None).passphrase == ""


def test_space_around_a_pasted_key_is_no_part_of_it(credentials: Credentials) -> None:
    seal = sealed_by(MASTER)
    keys = credentials.open(7, seal(f" {API_KEY}\n"), seal(f"{SECRET}\r\n"), "")
    assert (keys.api_key, keys.secret) == (API_KEY, SECRET)


def test_the_applications_key_for_accounts_is_used_where_there_is_one() -> None:
    credentials = Credentials(settings_with(APP_KEY=MASTER, FLEET_CREDENTIALS_KEY=OWN))
    assert opened(credentials, OWN).secret == SECRET
    with pytest.raises(CredentialsError, match="not FLEET_CREDENTIALS_KEY"):
        opened(credentials, MASTER)


def test_without_any_key_the_role_does_not_start() -> None:
    with pytest.raises(SettingsError, match=r"write APP_KEY .* or FLEET_CREDENTIALS_KEY"):
        Credentials(settings_with())


@pytest.mark.parametrize(
    ("name", "more"),
    [("APP_KEY", {}), ("FLEET_CREDENTIALS_KEY", {"FLEET_CREDENTIALS_KEY": "base64:AAAA"})],
)
def test_a_key_of_the_wrong_length_is_named(name: str, more: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=f"a key in {name} has 3 bytes"):
        Credentials(settings_with(APP_KEY="base64:AAAA", **more))


@pytest.mark.parametrize("name", ["api_key", "api_secret", "passphrase"])
def test_a_value_that_is_not_encrypted_is_refused_with_the_cure(
    credentials: Credentials, name: str
) -> None:
    columns = dict.fromkeys(("api_key", "api_secret", "passphrase"), sealed_by(MASTER)("x"))
    columns[name] = CANARY
    with pytest.raises(
        CredentialsError, match=f"account 7: its {name} is not encrypted; .*`encrypted`"
    ) as caught:
        credentials.open(7, **columns)
    assert CANARY not in shown(caught.value)


def test_another_applications_key_is_told_from_a_missing_cast(credentials: Credentials) -> None:
    with pytest.raises(CredentialsError, match=r"cannot be opened: its MAC is invalid.*APP_KEY"):
        opened(credentials, OWN)


@pytest.mark.parametrize("nothing", [None, "", sealed_by(MASTER)(""), sealed_by(MASTER)(" ")])
def test_an_account_without_a_key_is_told_so(
    credentials: Credentials, nothing: str | None
) -> None:
    with pytest.raises(CredentialsError, match="account 7: it has no api_secret; store one"):
        credentials.open(7, sealed_by(MASTER)(API_KEY), nothing, None)


@pytest.mark.parametrize("odd", ["two\nlines", "übel", "tab\there"])
def test_a_key_that_no_header_can_carry_is_refused_before_it_is_sent(
    credentials: Credentials, odd: str
) -> None:
    seal = sealed_by(MASTER)
    with pytest.raises(CredentialsError, match="its api_key holds a character") as caught:
        credentials.open(7, seal(f"{CANARY}{odd}"), seal(SECRET), None)
    assert CANARY not in shown(caught.value)


# -- fingerprints ----------------------------------------------------------------------------------


def test_a_rotated_key_has_another_fingerprint_and_a_sealed_again_one_the_same(
    credentials: Credentials,
) -> None:
    first = opened(credentials).fingerprint
    assert opened(credentials).fingerprint == first
    assert opened(credentials, secret=f"{SECRET}2").fingerprint != first
    assert len(first) == 32


def test_parts_do_not_run_into_one_another(credentials: Credentials) -> None:
    seal = sealed_by(MASTER)
    one = credentials.open(7, seal("ab"), seal("c"), None)
    two = credentials.open(7, seal("a"), seal("bc"), None)
    assert one.fingerprint != two.fingerprint


def test_a_fingerprint_cannot_be_made_without_the_master_key(credentials: Credentials) -> None:
    other = Credentials(settings_with(APP_KEY=OLDER, APP_PREVIOUS_KEYS=MASTER))
    assert opened(credentials).fingerprint != opened(other).fingerprint


# -- nothing shows ---------------------------------------------------------------------------------


def shown(thing: object) -> str:
    """Everything that a log, an error report or a debugger's first look would show."""
    text = f"{thing!r} {thing}"
    if isinstance(thing, BaseException):
        text += "".join(traceback.format_exception(thing)) + str(thing.__context__)
    return text


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What the process logs, unmasked; the root logger is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    lines = io.StringIO()
    configure_logs(Mask(), stream=lines)
    yield lines
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_keys_show_nothing_however_they_are_printed(
    credentials: Credentials, logged: io.StringIO
) -> None:
    keys = opened(credentials)
    log("fleet.test").info("about", keys=keys, nested={"keys": [keys]})
    logging.getLogger("other").warning("%s %r", keys, {"k": keys})
    text = shown(keys) + shown(credentials) + logged.getvalue() + f"{keys:>9} {[keys]} {keys!a}"
    assert CANARY not in text
    assert "Keys(***)" in text


@pytest.mark.parametrize("take_away", [pickle.dumps, copy.copy, copy.deepcopy])
def test_keys_leave_the_process_by_no_copy(
    credentials: Credentials, take_away: Callable[[Any], Any]
) -> None:
    with pytest.raises(TypeError, match="pass the account's id"):
        take_away(opened(credentials))


def test_keys_have_no_dict_to_be_walked(credentials: Credentials) -> None:
    keys = opened(credentials)
    assert not hasattr(keys, "__dict__")
    with pytest.raises(AttributeError):
        keys.note = CANARY  # type: ignore[attr-defined]
