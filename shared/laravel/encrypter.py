"""Laravel's Encrypter: encrypted jobs, `encrypted` columns, whatever `Crypt` wrote.

The same envelope in Laravel 8 to 13: base64 of a JSON object with `iv`, `value`, `mac` and `tag`.
CBC ciphers have a MAC over iv and value, GCM ciphers a tag.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7
from pydantic import SecretStr

from shared.errors import SettingsError
from shared.laravel import php

DEFAULT_CIPHER = "AES-256-CBC"  # of Laravel; another one stands in config/app.php, not in .env
BLOCK_BITS = 128
TAG_BYTES = 16


class _Kind(NamedTuple):
    key_bytes: int
    iv_bytes: int
    has_tag: bool


_KINDS = {
    "AES-128-CBC": _Kind(16, 16, has_tag=False),
    "AES-256-CBC": _Kind(32, 16, has_tag=False),
    "AES-128-GCM": _Kind(16, 12, has_tag=True),
    "AES-256-GCM": _Kind(32, 12, has_tag=True),
}


class DecryptError(ValueError):
    """An envelope that cannot be opened. Says why, and shows neither key nor text."""


class Encrypter:
    """Encrypts with APP_KEY, decrypts with it or one of APP_PREVIOUS_KEYS. Safe to share."""

    def __init__(
        self,
        key: SecretStr,
        previous: Sequence[SecretStr] = (),
        cipher: str = DEFAULT_CIPHER,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """key, previous: as in .env, `base64:...` or the bytes themselves. cipher: of `app.cipher`,
        in any case of letters. Raises SettingsError when they do not fit one another.
        """
        self._cipher = cipher.upper()
        if self._cipher not in _KINDS:
            raise SettingsError(f"app.cipher is {cipher!a}; Laravel has {', '.join(_KINDS)}")
        self._kind = _KINDS[self._cipher]
        named = [("APP_KEY", key), *(("APP_PREVIOUS_KEYS", one) for one in previous)]
        self._keys = [self._key(name, one.get_secret_value()) for name, one in named]
        self._random_bytes = random_bytes

    def __repr__(self) -> str:
        return f"Encrypter({self._cipher}, {len(self._keys)} keys)"

    # -- plain texts -------------------------------------------------------------------------------

    def encrypt_string(self, plain: str | bytes) -> str:
        """`Crypt::encryptString`, and the cast `encrypted`."""
        raw = plain.encode() if isinstance(plain, str) else plain
        iv = self._random_bytes(self._kind.iv_bytes)
        if self._kind.has_tag:
            sealed = AESGCM(self._keys[0]).encrypt(iv, raw, None)
            return self._envelope(iv, sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])
        padder = PKCS7(BLOCK_BITS).padder()
        encryptor = Cipher(algorithms.AES(self._keys[0]), modes.CBC(iv)).encryptor()
        padded = padder.update(raw) + padder.finalize()
        return self._envelope(iv, encryptor.update(padded) + encryptor.finalize(), b"")

    def decrypt_bytes(self, envelope: str) -> bytes:
        """`Crypt::decryptString`, for what may be no text. Raises DecryptError."""
        parts = _opened(envelope)
        iv = _part(parts, "iv")
        if len(iv) != self._kind.iv_bytes:
            raise DecryptError(
                f"its `iv` has {len(iv)} bytes and {self._cipher} has {self._kind.iv_bytes}; "
                "use the cipher that stands in Laravel's config/app.php"
            )
        tag = _part(parts, "tag") if parts["tag"] else b""
        return self._with_tag(parts, iv, tag) if self._kind.has_tag else self._with_mac(parts, iv)

    def decrypt_string(self, envelope: str) -> str:
        """`Crypt::decryptString`, and the cast `encrypted`. Raises DecryptError."""
        try:
            return self.decrypt_bytes(envelope).decode()
        except UnicodeDecodeError:
            raise DecryptError("what was encrypted is no text in UTF-8") from None

    # -- values ------------------------------------------------------------------------------------

    def encrypt(self, value: php.Value) -> str:
        """`Crypt::encrypt`: of the PHP serialization of the value."""
        return self.encrypt_string(php.dumps(value))

    def decrypt(self, envelope: str) -> php.Value:
        """`Crypt::decrypt`. Raises DecryptError."""
        try:
            return php.loads(self.decrypt_bytes(envelope))
        except php.PhpFormatError as error:
            raise DecryptError(
                f"what was encrypted is no PHP serialization ({error}); `Crypt::encrypt` writes "
                "it, the casts and `Crypt::encryptString` do not"
            ) from None

    # -- one cipher or the other -------------------------------------------------------------------

    def _with_mac(self, parts: dict[str, str], iv: bytes) -> bytes:
        if parts["tag"]:
            raise DecryptError(
                f"it has a `tag`, which {self._cipher} has not; GCM ciphers write it"
            )
        given = parts["mac"].encode()
        # Every key is tried, so that the time says nothing about which one it was.
        fitting = [
            key for key in self._keys if hmac.compare_digest(_mac(key, parts).encode(), given)
        ]
        if not fitting:
            raise DecryptError(f"its MAC is invalid: {_FOREIGN}")
        decryptor = Cipher(algorithms.AES(fitting[0]), modes.CBC(iv)).decryptor()
        unpadder = PKCS7(BLOCK_BITS).unpadder()
        try:
            padded = decryptor.update(_part(parts, "value")) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            raise DecryptError("its MAC is valid and its `value` is not; write it again") from None

    def _with_tag(self, parts: dict[str, str], iv: bytes, tag: bytes) -> bytes:
        # A shorter tag would be easier to guess, and OpenSSL would take it.
        if len(tag) != TAG_BYTES:
            raise DecryptError(f"its `tag` has {len(tag)} bytes and must have {TAG_BYTES}")
        sealed = _part(parts, "value") + tag
        for key in self._keys:
            try:
                return AESGCM(key).decrypt(iv, sealed, None)
            except InvalidTag:
                continue
        raise DecryptError(f"its tag is invalid: {_FOREIGN}")

    def _envelope(self, iv: bytes, value: bytes, tag: bytes) -> str:
        parts = {"iv": _base64(iv), "value": _base64(value), "mac": "", "tag": _base64(tag)}
        if not self._kind.has_tag:
            parts["mac"] = _mac(self._keys[0], parts)
        return _base64(orjson.dumps(parts))

    def _key(self, name: str, written: str) -> bytes:
        encoded = written.removeprefix("base64:")
        try:
            key = written.encode() if encoded == written else _bytes(encoded)
        except binascii.Error:
            raise SettingsError(
                f"{name} begins with `base64:` and goes on with no base64"
            ) from None
        if len(key) != self._kind.key_bytes:
            raise SettingsError(
                f"a key in {name} has {len(key)} bytes and {self._cipher} needs "
                f"{self._kind.key_bytes}; copy the line from Laravel's .env as it stands"
            )
        return key


_FOREIGN = (
    "the text was changed, or encrypted with a key that is neither APP_KEY nor in APP_PREVIOUS_KEYS"
)


def _opened(envelope: str) -> dict[str, str]:
    """iv, value, mac and tag as they stand in the JSON; tag empty if there is none."""
    try:
        parts: Any = orjson.loads(_bytes(envelope.strip()))
    except (binascii.Error, orjson.JSONDecodeError):
        raise DecryptError("no envelope of Laravel: it is not base64 of JSON") from None
    if not isinstance(parts, dict):
        raise DecryptError("no envelope of Laravel: its JSON is no object")
    for name in ("iv", "value", "mac"):
        if not isinstance(parts.get(name), str):
            raise DecryptError(f"no envelope of Laravel: it has no text `{name}`")
    tag = "" if parts.get("tag") is None else parts["tag"]
    if not isinstance(tag, str):
        raise DecryptError("no envelope of Laravel: its `tag` is no text")
    return {"iv": parts["iv"], "value": parts["value"], "mac": parts["mac"], "tag": tag}


def _part(parts: dict[str, str], name: str) -> bytes:
    try:
        return _bytes(parts[name])
    except binascii.Error:
        raise DecryptError(f"its `{name}` is not base64") from None


def _mac(key: bytes, parts: dict[str, str]) -> str:
    signed = (parts["iv"] + parts["value"]).encode()
    return hmac.new(key, signed, hashlib.sha256).hexdigest()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode(), validate=True)
