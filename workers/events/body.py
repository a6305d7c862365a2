"""What the bodies of all events have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from shared.errors import InvalidEvent
from workers.events.amounts import AccountId


class Body(BaseModel):
    """A validated body. Unknown fields are ignored: within a version producers may add some.

    Of a JSON key that comes twice the last one counts, as in PHP's json_decode.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        cache_strings="keys",  # values are mostly unique; keeping them costs more than it saves
    )

    def check(self, key: str) -> None:
        """Raise InvalidEvent where fields contradict one another or the entry's key."""
        raise NotImplementedError


class AccountBody(Body):
    """Body of an event on `orders`: its key is the account."""

    account_id: AccountId

    def check(self, key: str) -> None:
        self.check_account(key)

    def check_account(self, key: str) -> None:
        if key != str(self.account_id):
            raise InvalidEvent(
                "wrong_key",
                f"`key` is {key[:60]!a} and `data.account_id` is {self.account_id}; "
                "send the account's id as plain decimal text in both",
            )
