"""The keys of one account: values that nothing prints, pickles or compares into the open."""

from __future__ import annotations

from typing import NoReturn

_HIDDEN = "Keys(***)"


class Keys:
    """API key, secret and passphrase ("" where the venue has none), in memory only.

    fingerprint: changes when any of them does, and tells nothing about them; see
    `workers/sync/credentials.py`.
    """

    __slots__ = ("api_key", "fingerprint", "passphrase", "secret")

    def __init__(self, api_key: str, secret: str, passphrase: str, fingerprint: str) -> None:
        self.api_key = api_key
        self.secret = secret
        self.passphrase = passphrase
        self.fingerprint = fingerprint

    def __repr__(self) -> str:
        return _HIDDEN

    def __format__(self, _spec: str) -> str:
        return _HIDDEN

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("keys are not written anywhere: pass the account's id instead")

    def hidden_in(self, text: str) -> str:
        """The text with every one of these keys blanked: for what a venue says about a request."""
        for secret in (self.secret, self.api_key, self.passphrase):
            if secret:
                text = text.replace(secret, "***")
        return text
