"""What a venue's front is: paths, weights, its own authentication, and its JSON.

A front is one `Front` row. The server finds the route, lets the front authenticate the caller,
spends the weight, calls the handler and sends what it returns. A handler raises `Refused` for the
venue's errors; the front turns them into the venue's form.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from aiohttp import web

from deploy.exchange.amounts import exact
from deploy.exchange.exchange import Exchange
from deploy.exchange.limits import Budget, Spent
from deploy.exchange.state import Account, Market, Rules


class Refused(Exception):  # noqa: N818 - an answer, not a mistake
    """An error of the venue: HTTP status, its code, its words."""

    def __init__(self, status: int, code: int | str, words: str) -> None:
        super().__init__(f"{status} {code} {words}")
        self.status = status
        self.code = code
        self.words = words


@dataclass(slots=True)
class Call:
    """A request.

    query, body: as sent (what was signed). params: of both, decoded. account: None when public.
    address: the peer's source address. now_ms: the venue's clock.
    """

    exchange: Exchange
    method: str
    path: str
    query: str
    body: bytes
    headers: Mapping[str, str]
    params: dict[str, str]
    address: str
    now_ms: int
    account: Account | None = None

    @property
    def who(self) -> Account:
        """The caller of a private route."""
        assert self.account is not None
        return self.account

    def whole(self, name: str) -> int | None:
        """A parameter as a whole number; None if it is not there. ValueError: it is no number."""
        text = self.params.get(name, "")
        return int(text) if text else None

    def amount(self, name: str) -> Fraction:
        return exact(self.params.get(name, "0"))


Handler = Callable[[Call], Any]
"""Returns what is sent as JSON: plain values, or `orjson.Fragment` of bytes prepared before."""


class Route(NamedTuple):
    """access: public, key (known key, no signature) or signed. weight: of each call."""

    handler: Handler
    weight: int | Callable[[Call], int] = 1
    access: str = "signed"


Routes = Mapping[tuple[str, str], Route]
"""By (method, path)."""
Socket = Callable[[Exchange, web.Request], Awaitable[web.StreamResponse]]


def no_headers(_: Spent) -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Front:
    """One row of `fronts.FRONTS`.

    venue: of accounts and markets; a venue may have several fronts (futures, spot), which share
    its accounts. budget: per address. per_account: limits per uid by path ("" for all others).
    authenticate: finds the account or raises Refused; called for routes that are not public.
    answer: wraps what a handler returned. error: the body of a Refused. limited: the error of a
    429 or 418. headers: of every answer, from what was spent. retry_after: whether a refusal
    says how long to wait. sockets: websocket routes by path, which may end in a name (`/ws/{key}`).
    """

    name: str
    venue: str
    rules: Rules
    routes: Routes
    markets: Sequence[Market]
    budget: Budget
    authenticate: Callable[[Call, Route], Account]
    error: Callable[[Refused, Call], Any]
    limited: Callable[[Spent], Refused]
    answer: Callable[[Any, Call], Any] = lambda value, _: value
    headers: Callable[[Spent], dict[str, str]] = no_headers
    retry_after: bool = True
    per_account: Mapping[str, Budget] = field(default_factory=dict)
    sockets: Mapping[str, Socket] = field(default_factory=dict)
