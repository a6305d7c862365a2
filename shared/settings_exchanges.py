"""How exchanges are reached: from which addresses, with which keys, and what is left for orders."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from shared.errors import SettingsError

Values = Mapping[str, str | None]

EXCHANGE_NAMES = (
    "FLEET_ALLOW_WITHDRAW_KEYS",
    "FLEET_CREDENTIALS_KEY",
    "FLEET_EGRESS",
    "FLEET_EXCHANGE_URL",
    "FLEET_ORDER_SHARE",
)
DEFAULT_EGRESS = "default"
_EGRESS_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_LOCAL_NAMES = frozenset({"localhost"})
_SHARE = re.compile(r"0|0?\.[0-9]{1,3}")


class ExchangeSettings(NamedTuple):
    """Fields of Settings.

    exchange_url: scheme and host instead of every exchange's own. egress: name -> local address,
    None: not bound. credentials_key: opens the keys of accounts where the application has another
    key than APP_KEY for them. order_share: part of each window that only orders may use.
    """

    exchange_url: str | None
    egress: Mapping[str, str | None]
    credentials_key: SecretStr | None
    allow_withdraw_keys: bool
    order_share: Decimal


def exchange_settings(values: Values) -> ExchangeSettings:
    """Raises SettingsError with the line that cures it."""
    key = values.get("FLEET_CREDENTIALS_KEY")
    return ExchangeSettings(
        exchange_url=_url(values.get("FLEET_EXCHANGE_URL")),
        egress=parse_egress(values.get("FLEET_EGRESS") or ""),
        credentials_key=SecretStr(key) if key else None,
        allow_withdraw_keys=_yes(values, "FLEET_ALLOW_WITHDRAW_KEYS"),
        order_share=_order_share(values.get("FLEET_ORDER_SHARE") or "0.1"),
    )


def refuse_credentials_key(role: str, environ: Mapping[str, str]) -> None:
    """The env file is shared by all roles of a host and the line in it is not read by the others;
    what stands in a process' own environment was given to that process, and its children have it.
    """
    for name in ("FLEET_CREDENTIALS_KEY", "FLEET_CREDENTIALS_KEY_FILE"):
        if environ.get(name):
            raise SettingsError(
                f"{name} is in the environment of the role {role}, which opens no keys of "
                "accounts: give it to the roles sync and userstreams alone, or write it into the "
                "file that FLEET_ENV_FILE names"
            )


def parse_egress(text: str) -> dict[str, str | None]:
    """`name=address,name=address`; `name=` is not bound. Empty: one that is called `default`."""
    found: dict[str, str | None] = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        name, equals, address = (part.strip() for part in one.partition("="))
        if not equals or not _EGRESS_NAME.fullmatch(name) or name in found:
            raise SettingsError("FLEET_EGRESS: write different names: eu=192.0.2.1,us=192.0.2.2")
        found[name] = _address(name, address)
    return found or {DEFAULT_EGRESS: None}


def _address(name: str, text: str) -> str | None:
    if not text:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise SettingsError(
            f"FLEET_EGRESS: {name} needs an IP address of this host, for example {name}=192.0.2.1"
        ) from None


def _url(text: str | None) -> str | None:
    if not text:
        return None
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        host, url = "", urlsplit("")
    if url.scheme not in {"http", "https"} or not host or url.path.strip("/") or url.query:
        raise SettingsError("FLEET_EXCHANGE_URL: write scheme, host and port: http://127.0.0.1:9650")
    if url.username is not None or url.password is not None:
        raise SettingsError("FLEET_EXCHANGE_URL: write it without a user and a password")
    if url.scheme == "http" and not _is_this_host(host):
        raise SettingsError(
            f"FLEET_EXCHANGE_URL: http:// would carry API keys to {host} in the open: write "
            "https://, or the address of this host"
        )
    return f"{url.scheme}://{url.netloc}"


def _is_this_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _LOCAL_NAMES


def _yes(values: Values, name: str) -> bool:
    text = values.get(name) or "0"
    if text not in {"0", "1", "true", "false"}:
        raise SettingsError(f"{name}: write 1, or leave the line out")
    return text in {"1", "true"}


def _order_share(text: str) -> Decimal:
    if not _SHARE.fullmatch(text):
        raise SettingsError("FLEET_ORDER_SHARE: write a part of one below 1, for example 0.1")
    return Decimal(text)
