from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.errors import SettingsError
from shared.settings import CALLS_EXCHANGES, ROLES, Settings, load

MINIMAL = {
    "APP_NAME": "Trade Desk",
    "APP_KEY": "master",
    "DB_DATABASE": "desk",
    "DB_USERNAME": "desk",
    "REDIS_PREFIX": "trade_desk_database_",
}
OTHERS = sorted(set(ROLES) - CALLS_EXCHANGES)


class Desk:
    """An env file of its own, and load() over it with a chosen environment."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / ".env"

    def load(self, role: str, environ: dict[str, str] | None = None, **lines: str) -> Settings:
        text = "".join(f'{name}="{value}"\n' for name, value in (MINIMAL | lines).items())
        self.file.write_text(text, encoding="utf-8")
        return load(role, {"FLEET_ENV_FILE": str(self.file)} | (environ or {}))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_defaults(desk: Desk) -> None:
    settings = desk.load("sync")
    assert settings.exchange_url is None
    assert settings.egress == {"default": None}
    assert settings.credentials_key is None
    assert settings.allow_withdraw_keys is False
    assert settings.order_share == Decimal("0.1")


def test_addresses_have_names(desk: Desk) -> None:
    settings = desk.load("sync", FLEET_EGRESS="eu=192.0.2.1, v6=2001:DB8::1 ,any=")
    assert settings.egress == {"eu": "192.0.2.1", "v6": "2001:db8::1", "any": None}


def test_an_address_that_is_none_is_refused_with_an_example(desk: Desk) -> None:
    with pytest.raises(SettingsError, match=r"eu needs an IP address.*eu=192\.0\.2\.1"):
        desk.load("sync", FLEET_EGRESS="eu=exchange.example")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:9650", "http://127.0.0.1:9650"),
        ("http://localhost:9650/", "http://localhost:9650"),
        ("http://[::1]:9650", "http://[::1]:9650"),
        ("https://exchange.example", "https://exchange.example"),
    ],
)
def test_another_exchange_is_scheme_and_host(desk: Desk, text: str, url: str) -> None:
    assert desk.load("sync", FLEET_EXCHANGE_URL=text).exchange_url == url


def test_keys_do_not_travel_to_another_host_in_the_open(desk: Desk) -> None:
    with pytest.raises(SettingsError, match=r"in the open: write https://"):
        desk.load("sync", FLEET_EXCHANGE_URL="http://192.0.2.9:9650")


@pytest.mark.parametrize(("text", "share"), [("0", "0"), ("0.25", "0.25"), (".5", "0.5")])
def test_a_share_is_kept_for_orders(desk: Desk, text: str, share: str) -> None:
    assert desk.load("sync", FLEET_ORDER_SHARE=text).order_share == Decimal(share)


def test_keys_that_may_withdraw_are_allowed_by_one_word(desk: Desk) -> None:
    assert desk.load("sync", FLEET_ALLOW_WITHDRAW_KEYS="1").allow_withdraw_keys is True
    assert desk.load("sync", FLEET_ALLOW_WITHDRAW_KEYS="0").allow_withdraw_keys is False


# -- the key of the accounts -----------------------------------------------------------------------


@pytest.mark.parametrize("role", sorted(CALLS_EXCHANGES))
def test_a_role_that_calls_exchanges_holds_the_key_of_accounts(desk: Desk, role: str) -> None:
    settings = desk.load(role, FLEET_CREDENTIALS_KEY="hunter2")
    assert settings.credentials_key == SecretStr("hunter2")
    assert "hunter2" not in f"{settings!r} {settings.model_dump_json()}"


def test_with_a_key_of_their_own_the_master_key_is_not_held(desk: Desk) -> None:
    settings = desk.load("sync", FLEET_CREDENTIALS_KEY="k", APP_PREVIOUS_KEYS="old")
    assert (settings.app_key, settings.app_previous_keys) == (None, ())
    assert desk.load("sync").app_key == SecretStr("master")


def test_the_key_of_accounts_may_come_from_a_file(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("base64:abc\n", encoding="utf-8")
    settings = desk.load("sync", {"FLEET_CREDENTIALS_KEY_FILE": str(tmp_path / "key")})
    assert settings.credentials_key == SecretStr("base64:abc")


@pytest.mark.parametrize("role", OTHERS)
@pytest.mark.parametrize("name", ["FLEET_CREDENTIALS_KEY", "FLEET_CREDENTIALS_KEY_FILE"])
def test_no_other_role_starts_with_it_in_its_environment(
    desk: Desk, role: str, name: str
) -> None:
    with pytest.raises(SettingsError, match=rf"{name} is in the environment of the role {role}"):
        desk.load(role, {name: "hunter2"})


@pytest.mark.parametrize("role", OTHERS)
def test_in_the_shared_file_it_is_not_even_read_by_the_others(desk: Desk, role: str) -> None:
    settings = desk.load(role, FLEET_CREDENTIALS_KEY="hunter2")
    assert settings.credentials_key is None
    assert "hunter2" not in repr(settings)
    # The path of a file that this role cannot open stops it from nothing.
    assert desk.load(role, FLEET_CREDENTIALS_KEY_FILE="/nonexistent").credentials_key is None


def test_the_refusal_does_not_show_the_key(desk: Desk) -> None:
    with pytest.raises(SettingsError) as caught:
        desk.load("relay", {"FLEET_CREDENTIALS_KEY": "hunter2"})
    assert "hunter2" not in str(caught.value)
