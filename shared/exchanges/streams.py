"""What a user stream of a venue is: a row, as `venue.py` has them for questions.

A venue tells at once what happens to an account, over a websocket. How that begins (`open`) and
what a message means (`Session.heard`) is decided here and in one file per venue; others connect,
keep time and store. Events are those that the readings find: the same functions make them, so a
fill that is told and found is one fill. Only `source` differs. Cash has no ids of the venue's in
any of these streams and is left to the sync.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Generator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import ccxt

from shared.errors import InvalidEvent
from shared.exchanges.answers import parsed
from shared.exchanges.errors import KeyRefused, Malformed, UnknownMarket
from shared.exchanges.keys import Keys
from shared.exchanges.signing import SIGNATURE, WORDS
from shared.exchanges.snapshots import Order, order_event
from shared.exchanges.venue import Account, Found, Request, Weights

Word = Literal["", "ready", "expired", "refused"]


class Heard(NamedTuple):
    """What a message means.

    word: ready: from now on everything is told; expired: from now on nothing is, open it again;
    refused: the key is, and `says` is why. say: texts to send now.
    """

    events: Sequence[Found] = ()
    word: Word = ""
    says: str = ""
    say: Sequence[str] = ()


NOTHING = Heard()


class Session(Protocol):
    """One connection's state: what was said, what is waited for."""

    def heard(self, text: str) -> Heard:
        """May raise whatever a message of another shape leads to; see `understood`."""


class Opened:
    """How to connect now. first: texts to say; without any the stream is ready when it is open.

    The repr shows nothing: url and first hold keys, or what stands for one.
    """

    __slots__ = ("first", "session", "url")

    def __init__(self, url: str, session: Session, first: Sequence[str] = ()) -> None:
        self.url = url
        self.session = session
        self.first = first

    def __repr__(self) -> str:
        return "Opened(***)"


class UserStream(NamedTuple):
    """One row.

    open: at the venue's time `account.now_ms`. connects: the venue's bound of new connections per
    address. ping: text that asks for a sign of life; "": a websocket ping. renew: keeps the listen
    key of the account alive, where there is one.
    """

    open: Callable[[Account, Keys], Generator[Request, Any, Opened]]
    connects: Weights
    ping: str = ""
    renew: Callable[[], Request] | None = None


def understood(session: Session, text: str) -> Heard:
    """What `text` means. Raises UnknownMarket, and Malformed for what is not as the venue writes
    it: it may have told something, so the sync must look.
    """
    try:
        return session.heard(text)
    except UnknownMarket:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, InvalidEvent) as error:
        failed = type(error).__name__
    raise Malformed(f"a message of the user stream is not understood ({failed})")


def shown(says: str, keys: Keys | None) -> str:
    """The venue's words without what they repeat of ours: OKX quotes a login that it refuses."""
    words = keys.hidden_in(says) if keys else says
    return SIGNATURE.sub("***", words)[:WORDS]


def message_of(text: str) -> Any:
    """Values of a message, numbers as text. Raises ValueError."""
    return parsed(text)


def told_by_stream(found: Found, **more: Any) -> Found:
    """A reading's event, as the stream tells it. more: what only the stream says."""
    known = {name: value for name, value in more.items() if value is not None}
    return Found(found.type, {**found.body, **known, "source": "stream"})


def orders_told(account: Account, venue: str, order: Order, *, executed: bool) -> list[Found]:
    """placed, canceled or rejected. Of what was filled the fills tell; executed: in part, so that
    it was placed before.
    """
    if order.state == "filled" or (order.state == "placed" and executed):
        return []
    return [order_event(account, venue, order)]


def signature(keys: Keys, text: str, *, base64: bool = False) -> str:
    """HMAC-SHA256, or what a private key signs where the secret is one. Raises KeyRefused."""
    secret = keys.secret
    if "PRIVATE KEY" not in secret:
        made = hmac.digest(secret.encode(), text.encode(), hashlib.sha256)
        return b64encode(made).decode() if base64 else made.hex()
    failed = ""
    try:
        if len(secret) > _LONGEST_ED25519:
            return str(ccxt.Exchange.rsa(text, secret, "sha256"))
        return str(ccxt.Exchange.eddsa(text.encode(), secret, "ed25519"))
    except (ccxt.BaseError, ValueError, TypeError, IndexError) as error:
        failed = type(error).__name__
    # Outside of `except`: the cause may quote a part of a private key.
    raise KeyRefused(f"this private key cannot sign ({failed})")


_LONGEST_ED25519 = 120
"""Letters of a PEM text."""
