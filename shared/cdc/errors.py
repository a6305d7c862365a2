"""What stops a collector: nothing is skipped, so somebody must look."""

from __future__ import annotations

from shared.errors import FleetError


class SourceStopped(FleetError):  # noqa: N818 - a state, not a mistake
    """The log cannot be followed any further without losing something. The process stays, says so
    in its status and tries again from the last checkpoint, so a cure needs no restart.

    reason: a short stable word (`purged`, `unknown_event`, `statement_format`, ...), for counting.
    cure: one sentence that says what to do, with the SQL or the command where there is one.
    """

    def __init__(self, reason: str, what: str, cure: str) -> None:
        super().__init__(f"{reason}: {what}. {cure}")
        self.reason = reason
        self.what = what
        self.cure = cure
