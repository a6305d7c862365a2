"""Takes secrets out of anything that leaves the process: log lines, errors, Sentry events.

Three nets, each for what the others miss: values we know (the settings'), the user part of any
URL, and `name=value` text whose name sounds secret (an exchange's error that echoes a key).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, SecretBytes, SecretStr

MASK = "***"

# A shorter value would blank half of every line ("a" is a legal password) and hide nothing.
SHORTEST_SECRET = 4

# Names whose values are never shown, compared whole and without case, `-` and `_` alike.
SECRET_NAMES = frozenset(
    {
        "api_key", "api_secret", "apikey", "app_key", "app_previous_keys", "auth", "authorization",
        "audit_url", "basic_auth", "broker_url", "cdc_hash_key", "cookie", "credentials",
        "database_url", "db_password",
        "db_url", "dsn", "mysql_password", "mysql_pwd", "mysql_url", "passphrase", "passwd",
        "password", "private_key", "privatekey", "pwd", "redbeat_redis_url", "redis_password",
        "redis_url", "secret", "sentry_dsn", "session", "set_cookie", "signature", "timescale_dsn",
        "timescale_url", "token", "x_api_key",
    }
)  # fmt: skip

# Greedy up to the last @ before a blank or quote: a raw @ or / in a password must not end the
# match. What is masked too much is a path, never a secret too little.
_URL_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.\-]*://)[^\s'\"<>]*@")
_NAMED = re.compile(
    r"(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|passphrase|app_key|authorization|"
    r"signature)[\"']?\s*(?:=|:|=>)\s*(?:bearer\s+|basic\s+)?[\"']?)([^\s\"',;&}\])]+)"
)


class Mask:
    """Masks text and nested values. Holds the secrets, so its repr shows none."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        # Longest first: a secret may contain another.
        self._secrets = sorted(forms, key=lambda form: (-len(form), form))

    @classmethod
    def of(cls, settings: object) -> Mask:
        """The mask of a process: every secret its settings hold."""
        return cls(secrets_of(settings))

    def __repr__(self) -> str:
        return f"Mask({len(self._secrets)} forms)"

    def text(self, text: str) -> str:
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        if "@" in text:
            text = _URL_USER.sub(rf"\1{MASK}@", text)
        return _NAMED.sub(rf"\1{MASK}", text)

    def deep(self, value: Any) -> Any:
        """A masked copy of dicts, lists, tuples and text; anything else as it is."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.deep(k): self._member(k, v) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.deep(item) for item in value]
        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "replace"))
        return value

    def _member(self, name: Any, value: Any) -> Any:
        return MASK if is_secret_name(name) and value is not None else self.deep(value)


def is_secret_name(name: object) -> bool:
    return isinstance(name, str) and name.lower().replace("-", "_") in SECRET_NAMES


def secrets_of(settings: object) -> frozenset[str]:
    """Every secret value inside a settings object: SecretStr at any depth, passwords in URLs."""
    return frozenset(_walk(settings, 0))


def _walk(value: object, depth: int) -> Iterable[str]:
    if isinstance(value, SecretStr):
        plain = value.get_secret_value()
        yield plain
        yield from _url_password(plain)
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode("utf-8", "replace")
    elif isinstance(value, str):
        yield from _url_password(value)
    elif depth < 6:  # noqa: PLR2004 - settings nest three deep; a cycle must end
        for child in _children(value):
            yield from _walk(child, depth + 1)


def _children(value: object) -> Iterable[object]:
    if isinstance(value, BaseModel):
        return [getattr(value, name) for name in type(value).model_fields]
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if hasattr(value, "__dataclass_fields__"):
        return [getattr(value, name) for name in value.__dataclass_fields__]
    return []


def _url_password(text: str) -> Iterable[str]:
    if "://" not in text or "@" not in text:
        return
    try:
        password = urlsplit(text).password
    except ValueError:  # not a URL after all; the URL net still masks it in text
        return
    if password:
        yield unquote(password)


def _forms(secret: str) -> Iterable[str]:
    if len(secret) < SHORTEST_SECRET:
        return
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    # Laravel writes keys as `base64:...`; logs may show either half.
    if secret.startswith("base64:"):
        yield secret.removeprefix("base64:")
    # As JSON and repr show it.
    yield secret.replace("\\", "\\\\").replace('"', '\\"')
