"""Operator job: positions and P&L of one account or of all again, from the immutable rows.

Accounts come in order of id. What has not changed keeps its version; what has is told in the
result. A cancel or a crash leaves the account in hand as it was, and the next run with the same
checkpoint goes on in the middle of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

from shared import telemetry
from shared.errors import FleetError
from shared.ledger.money import AmountOverflow
from shared.mysql.connection import connect
from shared.mysql.rebuild import (
    SMALL_FILLS,
    STEP_FILLS,
    Account,
    Steps,
    Stopped,
    Superseded,
    accounts_after,
    groups,
    rebuild_large,
    rebuild_small,
)
from shared.mysql.rebuild_fills import FIRST, merge_again
from shared.mysql.rebuild_swap import Rebuilt
from shared.settings import Settings
from workers.collector import calm_collector
from workers.jobs.operator import Progress

PAGE = 200  # accounts
STATEMENT_SECONDS = 300  # the fees of an instrument are summed by one statement
NAMED = 50  # accounts that differ, in a result

_log = telemetry.log(__name__)


class Telling(Protocol):
    """What the job needs of Progress."""

    @property
    def checkpoint(self) -> Mapping[str, Any] | None: ...
    def update(
        self, done: int, total: int | None = None, *, checkpoint: Mapping[str, Any], note: str
    ) -> None: ...
    def cancelled(self) -> bool: ...


class Bounds(NamedTuple):
    """Fills: of accounts rebuilt together under their locks; folded between two commits."""

    small: int = SMALL_FILLS
    step: int = STEP_FILLS


DEFAULT = Bounds()


def run(
    settings: Settings,
    progress: Progress,
    account: int | None = None,
    *,
    from_reports: bool = False,
) -> dict[str, Any]:
    """The operator job. account: only this one. from_reports: its fills too, from their reports."""
    calm_collector()
    with closing(connect(settings.mysql, read_seconds=STATEMENT_SECONDS)) as connection:
        return rebuild(connection, progress, account, from_reports=from_reports)


def rebuild(
    connection: Any,
    progress: Telling,
    account: int | None = None,
    *,
    from_reports: bool = False,
    bounds: Bounds = DEFAULT,
) -> dict[str, Any]:
    """How many accounts and fills, how many accounts were identical, and how the others differed.

    A checkpoint of an earlier run brings its arguments with it. Raises FleetError if nothing was
    ever booked for the account, Unavailable.
    """
    work = _Run(connection, progress, account, bounds, from_reports=from_reports)
    for found in work.accounts():
        if work.from_reports:
            # One by one, and counted again: what is to be merged is not there to be counted yet.
            for number, _ in found:
                if not work.merge_fills(number) or not work.rebuild([work.one(number)]):
                    return work.result()
        elif not all(work.rebuild(group) for group in groups(found, bounds.small)):
            break
    return work.result()


class _Run:
    """The job's place and what it found so far: both are its checkpoint."""

    def __init__(
        self,
        connection: Any,
        progress: Telling,
        account: int | None,
        bounds: Bounds,
        *,
        from_reports: bool,
    ) -> None:
        self._connection = connection
        self._progress = progress
        self._bounds = bounds
        self._total: int | None = None
        begun: dict[str, Any] = {
            "account": account, "from_reports": from_reports, "token": uuid4().hex,
            "behind": -1, "merged": None, "accounts": 0, "fills": 0, "identical": 0, "changed": 0,
            "differing": {}, "refused": {}, "repaired": 0,
        }  # fmt: skip
        self._state = begun | dict(progress.checkpoint or {})
        self._only: int | None = self._state["account"]
        self.from_reports: bool = self._state["from_reports"]
        self._tell(0, "begins")

    def accounts(self) -> Iterator[list[Account]]:
        """Those that are still to be done, in pages."""
        if self._only is not None:
            one = self.one(self._only)
            self._total = one.fills
            if self._state["behind"] < self._only:
                yield [one]
            return
        while page := accounts_after(self._connection, self._state["behind"], PAGE):
            yield page

    def one(self, account_id: int) -> Account:
        found = accounts_after(self._connection, account_id - 1, 1)
        if not found or found[0].id != account_id:
            raise FleetError(f"account {account_id}: nothing was ever booked for it")
        return found[0]

    def merge_fills(self, account_id: int) -> bool:
        """False if cancelled on the way."""
        state = self._state
        merged = state["merged"]
        place = tuple(merged[1]) if merged and merged[0] == account_id else FIRST
        while place:
            if self._progress.cancelled():
                return False
            page = merge_again(self._connection, account_id, place)
            place = page.next or ()
            state["repaired"] += page.repaired
            state["merged"] = [account_id, place]
            self._tell(0, f"reports of account {account_id}")
        return True

    def rebuild(self, group: Sequence[Account]) -> bool:
        """False if cancelled on the way. One account that cannot be folded stops no other."""
        if self._progress.cancelled():
            return False
        try:
            rebuilt = self._rebuild(group)
        except Stopped:
            return False
        except Superseded:
            self._refuse(group[0], "another rebuild has begun with it")
            return True
        except AmountOverflow as overflow:
            if len(group) > 1:
                return all(self.rebuild([account]) for account in group)
            self._refuse(group[0], str(overflow))
            return True
        for account, one in zip(group, rebuilt, strict=True):
            self._note(account, one)
        self._tell(0, f"account {group[-1].id}")
        return True

    def result(self) -> dict[str, Any]:
        names = ("accounts", "fills", "identical", "changed", "differing", "refused", "repaired")
        return {name: self._state[name] for name in names}

    def _rebuild(self, group: Sequence[Account]) -> list[Rebuilt]:
        if sum(account.fills for account in group) <= self._bounds.small:
            return rebuild_small(self._connection, [account.id for account in group])
        (account,) = group
        steps = Steps(self._told(account.id), self._progress.cancelled, self._bounds.step)
        return [rebuild_large(self._connection, account.id, self._state["token"], steps)]

    def _told(self, account_id: int) -> Callable[[int], None]:
        folded = 0

        def told(fills: int) -> None:
            nonlocal folded
            folded += fills
            self._tell(folded, f"account {account_id}")

        return told

    def _tell(self, folded: int, note: str) -> None:
        done = self._state["fills"] + folded
        self._progress.update(done, self._total, checkpoint=self._state, note=note)

    def _note(self, account: Account, rebuilt: Rebuilt) -> None:
        state = self._state
        if rebuilt.differing:
            state["changed"] += 1
            told = {"before": rebuilt.before, "after": rebuilt.after, **rebuilt.differing}
            _log.info("rebuilt", account=account.id, **told)
            if len(state["differing"]) < NAMED:
                state["differing"][str(account.id)] = told
        else:
            state["identical"] += 1
        self._passed(account)

    def _refuse(self, account: Account, why: str) -> None:
        _log.info("not_rebuilt", account=account.id, why=why)
        self._state["refused"][str(account.id)] = why
        self._passed(account)

    def _passed(self, account: Account) -> None:
        self._state["accounts"] += 1
        self._state["fills"] += account.fills
        self._state["behind"] = account.id
