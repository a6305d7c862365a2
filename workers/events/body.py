"""What the bodies of events have in common.

A body is a typed dict of the fields that came, each validated. Not a model: that keeps a second
set of its field names, and a batch of 2,000 of them no longer fits the CPU's cache (measured: a
third of the time of decoding). Unknown fields are left out, because within a version producers may
add some. Of a JSON key that comes twice the last one counts, as in PHP's json_decode.
"""

from __future__ import annotations

from typing_extensions import TypedDict

from shared.errors import InvalidEvent
from workers.events.amounts import AccountId


class AccountBody(TypedDict):
    """Body of an event on `orders`: its key is the account."""

    account_id: AccountId


def check_account(body: AccountBody, key: str) -> None:
    """Raises InvalidEvent where the entry's key is not the body's account."""
    if key != str(body["account_id"]):
        raise InvalidEvent(
            "wrong_key",
            f"`key` is {key[:60]!a} and `data.account_id` is {body['account_id']}; "
            "send the account's id as plain decimal text in both",
        )
