"""Who asks Bybit and for what: signature, errors, limits, parameters, pages.

Limits are counted per uid and path, and 600 requests in 5 s per address (403). A cursor is there
as long as a page is full: the last page may be empty.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import unquote

from deploy.exchange.bybit_markets import CATEGORIES, VENUE
from deploy.exchange.front import Call, Refused, Route
from deploy.exchange.limits import Budget, Spent
from deploy.exchange.rows import Place, place_of
from deploy.exchange.state import Account, Product

WEEK_MS = 7 * 86_400_000
DAY_MS = 86_400_000
AHEAD_MS = 1_000
RECV_WINDOW_MS = 5_000
ADDRESS = Budget("bybit", 600, 5_000)
Row = TypeVar("Row")


def authenticate(call: Call, _: Route) -> Account:
    """Clock, key and signature, in the venue's order."""
    headers = call.headers
    key, sent = headers.get("X-BAPI-API-KEY", ""), headers.get("X-BAPI-TIMESTAMP", "")
    window = headers.get("X-BAPI-RECV-WINDOW", "") or str(RECV_WINDOW_MS)
    if not key or not sent.isdigit() or not window.isdigit():
        raise Refused(401, 10003, "API key is invalid.")
    if not call.now_ms - int(window) <= int(sent) < call.now_ms + AHEAD_MS:
        raise Refused(
            200, 10002, "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{sent}],server_timestamp[{call.now_ms}],recv_window[{window}]",
        )  # fmt: skip
    account = call.exchange.accounts.get((VENUE, key))
    if account is None:
        raise Refused(200, 10003, "API key is invalid.")
    if account.revoked:
        raise Refused(200, 33004, "Your api key has expired.")
    signed = f"{sent}{key}{window}{call.query}".encode() + call.body
    expected = hmac.digest(account.secret.encode(), signed, hashlib.sha256).hex()
    if not hmac.compare_digest(expected, headers.get("X-BAPI-SIGN", "")):
        raise Refused(200, 10004, f"error sign! origin_string[{signed.decode()}]")
    return account


def answer(value: Any, call: Call) -> dict[str, Any]:
    return {
        "retCode": 0, "retMsg": "OK", "result": value, "retExtInfo": {}, "time": call.now_ms
    }  # fmt: skip


def error(refused: Refused, call: Call) -> Any:
    """The refusal of an address is no JSON object."""
    if refused.status == 403:  # noqa: PLR2004 - the status of an address that asks too often
        return refused.words
    return {
        "retCode": refused.code, "retMsg": refused.words, "result": {}, "retExtInfo": {},
        "time": call.now_ms,
    }  # fmt: skip


def limited(spent: Spent) -> Refused:
    if spent.budget.name == ADDRESS.name:
        return Refused(403, 403, "403, access too frequent")
    return Refused(200, 10006, "Too many visits. Exceeded the API Rate Limit.")


def headers_of(spent: Spent) -> dict[str, str]:
    """What is left of the uid's limit; the address has no header."""
    if spent.budget.name == ADDRESS.name:
        return {}
    return {
        "X-Bapi-Limit": str(spent.budget.weight),
        "X-Bapi-Limit-Status": str(spent.budget.weight - spent.used),
        "X-Bapi-Limit-Reset-Timestamp": str(spent.at_ms + spent.retry_ms),
    }


# -- parameters ------------------------------------------------------------------------------------


def wrong(words: str) -> Refused:
    return Refused(200, 10001, words)


def whole(call: Call, name: str) -> int | None:
    try:
        return call.whole(name)
    except ValueError:
        raise wrong(f"params error: {name} invalid") from None


def limit_of(call: Call, default: int, most: int) -> int:
    found = whole(call, "limit")
    if found is not None and not 0 < found <= most:
        raise wrong(f"params error: limit should be between 1 and {most}")
    return found or default


def category_of(call: Call) -> Product:
    for product in CATEGORIES:
        if call.params.get("category") == product:
            return product
    raise wrong("params error: Illegal category")


def between(call: Call, default_ms: int) -> tuple[int, int]:
    """[start, end]: at most a week; with one of them a fixed stretch, without both the newest."""
    start, end = whole(call, "startTime"), whole(call, "endTime")
    if start is None:
        end = call.now_ms if end is None else end
        return end - default_ms, end
    if end is None:
        return start, start + default_ms
    if end < start:
        raise wrong("params error: endTime should be greater than startTime")
    if end - start > WEEK_MS:
        raise wrong("The time range between startTime and endTime cannot exceed 7 days")
    return start, end


def cursor_of(call: Call) -> Place | None:
    text = unquote(call.params.get("cursor", ""))
    if not text:
        return None
    at, _, seq = text.partition(",")[0].partition(":")
    if not (at.isdigit() and seq.isdigit()):
        raise wrong("params error: cursor invalid")
    return int(at), int(seq)


def cursor_to(place: Place) -> str:
    text = f"{place[0]}%3A{place[1]}"
    return f"{text}%2C{text}"


def page(rows: Iterable[Row], limit: int) -> list[Row]:
    return list(islice(rows, limit))


def next_cursor(rows: list[Any], limit: int) -> str:
    """Of the last row; only if the page is full."""
    return cursor_to(place_of(rows[-1])) if len(rows) == limit else ""
