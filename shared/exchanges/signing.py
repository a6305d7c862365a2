"""ccxt's part: addresses, signatures, and what an error of a venue means.

One instance per venue signs for every account. Keys are in it only while `sign` runs, which is
synchronous; so it belongs to one event loop, and an account costs no memory here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import ccxt

from shared.exchanges.addresses import redirected, without_query
from shared.exchanges.answers import Answer
from shared.exchanges.errors import KeyRefused
from shared.exchanges.keys import Keys
from shared.exchanges.venue import Request, Venue
from shared.exchanges.verdicts import Said

WORDS = 200
"""Characters of a venue's own words that an error repeats."""

SHORTEST_HIDDEN = 12
"""Of header values: keys, signatures and passphrases are longer than content types' parts."""

TIMEOUT_MS = 10_000

# A signature in hex or base64, or a key: no word of any language is as long.
SIGNATURE = re.compile(r"[0-9A-Za-z+/=_%-]{32,}")


class Signed(NamedTuple):
    """A request as it leaves. home: the venue's own address of it, without its query."""

    url: str
    home: str
    headers: Mapping[str, str] | None
    body: str | None

    def __repr__(self) -> str:
        return f"Signed({self.home})"


class Signer:
    """One venue's signatures and verdicts. Not thread-safe."""

    def __init__(self, venue: Venue, now_ms: Callable[[], int], url: str | None = None) -> None:
        """now_ms: the venue's clock. url: scheme and host instead of the venue's own."""
        self._venue = venue
        self._url = url
        self._ccxt = new_exchange(venue)
        # The nonce is ccxt's own place for the time that is signed.
        self._ccxt.nonce = now_ms
        self._ccxt.urlencode = urlencoded

    def sign(self, request: Request, keys: Keys | None) -> Signed:
        """Raises KeyRefused for keys of which a part is missing or cannot sign."""
        signer, failed, made = self._ccxt, "", {}
        try:
            if keys is not None:
                signer.apiKey, signer.secret = keys.api_key, keys.secret
                signer.password = keys.passphrase
            section, method, path, params, _ = request
            made = signer.sign(path, [section], method, dict(params))
        except (ccxt.AuthenticationError, ValueError, TypeError, IndexError) as error:
            failed = type(error).__name__
        finally:
            signer.apiKey = signer.secret = signer.password = ""
        if failed:
            # Outside of `except`: the cause may quote a part of a private key.
            raise KeyRefused(f"{self._venue.name} cannot sign with these keys ({failed})")
        url: str = made["url"]
        home = without_query(url)
        url = redirected(url, self._url) if self._url else url
        return Signed(url, home, made["headers"], made["body"])

    def judge(
        self, request: Request, signed: Signed, answer: Answer, text: str, value: Any
    ) -> type[BaseException] | None:
        """Class of ccxt for a refusal; None: ccxt finds none.

        text, value: the body, and what it says; value None: it did not parse.
        """
        if value is None:
            return None
        try:
            self._ccxt.handle_errors(
                answer.status, "", signed.home, request.method, answer.headers, text, value, {}, ""
            )
        except ccxt.BaseError as error:
            return type(error)
        return None


def urlencoded(params: Mapping[str, Any], *flags: bool) -> str:
    """The same text as ccxt's own, which spends a third of a signature on quoting digits."""
    if any(flags):  # lists, sorting
        return str(ccxt.Exchange.urlencode(params, *flags))
    return "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in params.items()])


def _quoted(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if text.isascii() and text.isalnum() else quote(text, "")


def new_exchange(venue: Venue) -> Any:
    """An unmodified ccxt exchange, synchronous, whose numbers are text."""
    made = getattr(ccxt, venue.ccxt_class)({"enableRateLimit": False, "timeout": TIMEOUT_MS})
    made.number = str
    # Asked with a key, and by load_markets alone.
    made.options["fetchCurrencies"] = False
    return made


def hidden(words: str, signed: Signed, keys: Keys | None) -> str:
    """A venue's words without what it repeats of our request: Bybit quotes key and signature."""
    for value in (signed.headers or {}).values():
        words = words.replace(value, "***") if len(value) >= SHORTEST_HIDDEN else words
    words = SIGNATURE.sub("***", words)
    return (keys.hidden_in(words) if keys else words)[:WORDS]


def said_in(value: Any, signed: Signed, keys: Keys | None) -> Said:
    """Of Binance (code, msg), Bybit (retCode, retMsg) or OKX (code, data[0].sCode and sMsg)."""
    if not isinstance(value, Mapping):
        return Said("", "")
    rows = value.get("data")
    row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], Mapping) else {}
    code = row.get("sCode") or value.get("retCode") or value.get("code") or ""
    words = row.get("sMsg") or value.get("retMsg") or value.get("msg") or ""
    return Said(str(code)[:WORDS], hidden(str(words), signed, keys))
