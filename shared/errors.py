"""Errors that the loop understands: the type says what must happen next.

    FleetError
    ├── InvalidEvent     the input can never succeed: park it alone and go on
    ├── Unavailable      a server is away: roll back, wait, try the same batch again
    ├── Fenced           somebody else owns the partition now: drop it, write nothing
    ├── LimitReached     our own breaker: halt the partition and say so
    └── SettingsError    the process must not start; the message holds the cure

Anything else is a bug of ours: the batch is bisected down to the event, which is parked alone.
"""

from __future__ import annotations


class FleetError(Exception):
    """Root of every error of ours."""


class InvalidEvent(FleetError):  # noqa: N818 - named for what it is, not for being an error
    """An input that can never succeed.

    reason: a short stable word (`unknown_type`, `malformed`, `wrong_partition`, ...), for counting.
    detail: one sentence for a person, which says what to change.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Unavailable(FleetError):  # noqa: N818 - a state, not a mistake
    """A server is away or refuses for now; the same work may succeed later."""


class Fenced(FleetError):  # noqa: N818 - a state, not a mistake
    """Another owner raised the epoch: nothing of this batch may be written."""


class LimitReached(FleetError):  # noqa: N818 - a state, not a mistake
    """A bound of ours was passed; going on would do harm."""


class SettingsError(FleetError):
    """The process must not start; the message names the line that cures it."""
