"""Readings driven by hand: no connection, no clock; and what they tell, checked by its model."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter

from shared.exchanges.venue import Account, Found, Market, Page, Request
from workers.registry import EVENTS

T = TypeVar("T")
NOW = 1_764_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR

Answering = Callable[[Request], Any]
"""The venue: an answer to a request, or an error that is thrown into the reading."""


class Driven(NamedTuple):
    """What a reading returned, and the requests that it made."""

    result: Any
    requests: list[Request]


def drive(reading: Generator[Request, Any, T], answering: Answering) -> Driven:
    requests: list[Request] = []
    try:
        request = next(reading)
        while True:
            requests.append(request)
            answer = answering(request)
            throws = isinstance(answer, Exception)
            request = reading.throw(answer) if throws else reading.send(answer)
    except StopIteration as stop:
        return Driven(stop.value, requests)


def stored(page: Page) -> Any:
    """Its cursor as it comes back from the database."""
    return json.loads(json.dumps(page.cursor))


def in_turn(*answers: Any) -> Answering:
    """Hand-written answers, one for each request; too few is a failure."""
    left = list(reversed(answers))

    def answering(request: Request) -> Any:
        assert left, f"no answer is left for {request}"
        return left.pop()

    return answering


def checked(events: Sequence[Found]) -> list[Mapping[str, Any]]:
    """Their bodies, which the ledger would take."""
    for event in events:
        kind = EVENTS[event.type]
        text = json.dumps(event.body)
        body = TypeAdapter(kind.model).validate_json(text)
        kind.check(body, str(event.body["account_id"]))
    return [event.body for event in events]


def account_of(markets: Sequence[Market], now_ms: int = NOW, **fields: Any) -> Account:
    products = tuple(dict.fromkeys(market.product for market in markets))
    by_key = {(market.product, market.symbol): market for market in markets}
    given = {"since_ms": now_ms - HOUR, "products": products, **fields}
    return Account(account_id=42, markets=by_key, now_ms=now_ms, **given)
