"""Opens the encrypted columns of `fleet_account_sources`, in memory and nowhere else."""

from __future__ import annotations

import hashlib

from pydantic import SecretStr

from shared.errors import FleetError, SettingsError
from shared.exchanges.keys import Keys
from shared.laravel.encrypter import DecryptError, Encrypter
from shared.settings import Settings

_PURPOSE = b"fleet: fingerprint of the keys of an account"
_FINGERPRINT_BYTES = 16
_NO_ENVELOPE = "no envelope"  # how Encrypter begins when a text was never encrypted


class CredentialsError(FleetError):
    """Keys that cannot be opened; the text says what to do and shows nothing of them."""


class Credentials:
    """Opens keys with FLEET_CREDENTIALS_KEY where it is set, else with APP_KEY and the previous
    ones. Safe to share between threads.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError when there is no key, or none that fits the cipher."""
        cipher = settings.laravel.cipher
        own = settings.credentials_key
        key = own or settings.app_key
        if key is None:
            raise SettingsError(
                f"the role {settings.role} opens the keys of accounts: write APP_KEY as it stands "
                "in Laravel's .env, or FLEET_CREDENTIALS_KEY where the application has another key"
            )
        self._own = own is not None
        try:
            self._encrypter = Encrypter(key, () if own else settings.app_previous_keys, cipher)
        except SettingsError as error:
            words = str(error)
            words = words.replace("APP_KEY", "FLEET_CREDENTIALS_KEY") if own else words
            raise SettingsError(words) from None
        self._fingerprint_key = _fingerprint_key(key)

    def __repr__(self) -> str:
        return "Credentials(***)"

    def open(
        self, account_id: int, api_key: str | None, api_secret: str | None, passphrase: str | None
    ) -> Keys:
        """The keys of one account, from its columns as they stand. Raises CredentialsError."""
        opened = (
            self._required(account_id, "api_key", api_key).strip(),
            self._required(account_id, "api_secret", api_secret).strip(),
            self._opened(account_id, "passphrase", passphrase) if passphrase else "",
        )
        for name, text in (("api_key", opened[0]), ("passphrase", opened[2])):
            if not (text.isascii() and text.isprintable()):
                raise CredentialsError(
                    f"account {account_id}: its {name} holds a character that no exchange issues; "
                    "copy it from the exchange again"
                )
        return Keys(*opened, fingerprint=self._fingerprint(opened))

    def _required(self, account_id: int, name: str, sealed: str | None) -> str:
        text = self._opened(account_id, name, sealed) if sealed else ""
        if not text.strip():
            raise CredentialsError(f"account {account_id}: it has no {name}; store one in Laravel")
        return text

    def _opened(self, account_id: int, name: str, sealed: str) -> str:
        said = ""
        try:
            return self._encrypter.decrypt_string(sealed)
        except DecryptError as error:
            said = str(error)
        if said.startswith(_NO_ENVELOPE):
            raise CredentialsError(
                f"account {account_id}: its {name} is not encrypted; give the column the cast "
                "`encrypted` in the Laravel model, and save it again"
            )
        if self._own:
            said = said.replace(
                "neither APP_KEY nor in APP_PREVIOUS_KEYS", "not FLEET_CREDENTIALS_KEY"
            )
        raise CredentialsError(f"account {account_id}: its {name} cannot be opened: {said}")

    def _fingerprint(self, opened: tuple[str, str, str]) -> str:
        """Of all parts, keyed: who reads it in a table learns nothing and can try nothing."""
        found = hashlib.blake2b(key=self._fingerprint_key, digest_size=_FINGERPRINT_BYTES)
        for part in opened:
            raw = part.encode()
            found.update(len(raw).to_bytes(4, "big") + raw)
        return found.hexdigest()


def _fingerprint_key(key: SecretStr) -> bytes:
    return hashlib.blake2b(_PURPOSE + key.get_secret_value().encode(), digest_size=32).digest()
