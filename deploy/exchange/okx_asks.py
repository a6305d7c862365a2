"""Who asks OKX and for what: signature, errors, limits, parameters, pages by id.

Limits are counted per user and path, 50011 with status 429. Ids of bills grow with time, so that
an id is a place in the lists, which come newest first.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Any

from deploy.exchange.front import Call, Refused, Route
from deploy.exchange.limits import Budget, Spent
from deploy.exchange.okx_markets import VENUE
from deploy.exchange.rows import Place
from deploy.exchange.state import Account

ADDRESS = Budget("okx", 20, 2_000, bans=False)
EXPIRES_MS = 30_000
MOST = 100
EPOCH_MS = 1_420_070_400_000
SEQ_BITS = 24
HEADERS = {
    "OK-ACCESS-KEY": "50103",
    "OK-ACCESS-PASSPHRASE": "50104",
    "OK-ACCESS-SIGN": "50106",
    "OK-ACCESS-TIMESTAMP": "50107",
}


# -- who asks --------------------------------------------------------------------------------------


def authenticate(call: Call, _: Route) -> Account:
    """Headers, clock, key, passphrase and signature, in the venue's order."""
    headers = call.headers
    for name, code in HEADERS.items():
        if not headers.get(name):
            raise Refused(401, code, f'Request header "{name}" can\'t be empty.')
    sent = headers["OK-ACCESS-TIMESTAMP"]
    check_clock(call, sent)
    account = call.exchange.accounts.get((VENUE, headers["OK-ACCESS-KEY"]))
    if account is None:
        raise Refused(401, "50111", "Invalid OK-ACCESS-KEY")
    if account.revoked:
        raise Refused(401, "50119", "API key doesn't exist")
    if account.passphrase != headers["OK-ACCESS-PASSPHRASE"]:
        raise Refused(401, "50105", 'Request header "OK-ACCESS-PASSPHRASE" incorrect.')
    query = f"?{call.query}" if call.query else ""
    signed = f"{sent}{call.method}{call.path}{query}".encode() + call.body
    if not hmac.compare_digest(signature(account.secret, signed), headers["OK-ACCESS-SIGN"]):
        raise Refused(401, "50113", "Invalid Sign")
    return account


def check_clock(call: Call, sent: str) -> None:
    """ISO 8601 in UTC, at most half a minute off."""
    try:
        at_ms = round(datetime.fromisoformat(sent).timestamp() * 1000)
    except ValueError:
        raise Refused(401, "50112", "Invalid OK-ACCESS-TIMESTAMP") from None
    if abs(call.now_ms - at_ms) > EXPIRES_MS:
        raise Refused(401, "50102", "Timestamp request expired")


def signature(secret: str, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()


def answer(value: Any, _: Call) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": value}


def error(refused: Refused, _: Call) -> dict[str, Any]:
    """Refusals of the gateway have no data."""
    found = {"code": refused.code, "msg": refused.words}
    return found if refused.status != 200 else found | {"data": []}  # noqa: PLR2004 - answered


def limited(_: Spent) -> Refused:
    return Refused(429, "50011", "Too Many Requests")


# -- parameters ------------------------------------------------------------------------------------


def wrong(name: str) -> Refused:
    return Refused(200, "51000", f"Parameter {name} error")


def whole(call: Call, name: str) -> int | None:
    try:
        return call.whole(name)
    except ValueError:
        raise wrong(name) from None


def needed(call: Call, name: str) -> str:
    if not call.params.get(name):
        raise Refused(200, "50014", f"Parameter {name} can not be empty.")
    return call.params[name]


def limit_of(call: Call) -> int:
    """At most 100, more is cut."""
    found = whole(call, "limit")
    if found is not None and found <= 0:
        raise wrong("limit")
    return min(found or MOST, MOST)


def between(call: Call, longest_ms: int) -> tuple[int, int]:
    """[begin, end]; nothing older than the path reaches."""
    begin, end = whole(call, "begin"), whole(call, "end")
    oldest = call.now_ms - longest_ms
    return max(oldest, begin or 0), call.now_ms if end is None else end


def bill_id(at_ms: int, seq: int) -> str:
    return str((at_ms - EPOCH_MS << SEQ_BITS) + seq)


def bill_place(number: int) -> Place:
    """(milliseconds, sequence) of an id."""
    return (number >> SEQ_BITS) + EPOCH_MS, number & ((1 << SEQ_BITS) - 1)


def places(call: Call, shift: int = 0) -> dict[str, Place | None]:
    """`after` (older than) and `before` (newer than) as places; shift: of the sequence."""
    found: dict[str, Place | None] = {"below": None, "above": None}
    for name, key in (("after", "below"), ("before", "above")):
        number = whole(call, name)
        if number is not None:
            at_ms, seq = bill_place(number)
            found[key] = at_ms, seq - shift
    return found
