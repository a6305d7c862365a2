"""Binance spot: what moved its wallets, other than trades.

Deposits and withdrawals are listed by the time they began, and told when they are done; until then
the reading goes back to the oldest that is not. A withdrawal's fee is paid beside its amount.
Movements of the funding wallet (walletType 1) are not of this wallet.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from shared.exchanges import overlap
from shared.exchanges.amounts import negated, plain, sign
from shared.exchanges.overlap import Row
from shared.exchanges.snapshots import told
from shared.exchanges.venue import Account, Cursor, Found, Page, Request
from shared.exchanges.windows import Paged, read_windows

DAY_MS = 86_400_000
AHEAD_MS = 60_000
PAGES = 10
UNDONE_MS = 30 * DAY_MS
"""What is not done after this is looked for no longer."""
WALLETS = ("UMFUTURE", "CMFUTURE", "MARGIN", "FUNDING", "OPTION")
"""Between these and the spot wallet (MAIN) users transfer."""
_PAID_OUT = (("rebate", ("rebate", "referral", "kickback", "commission")),
             ("interest", ("interest", "earn", "saving", "staking", "flexible", "locked")),
             ("bonus", ("bonus", "airdrop", "reward", "voucher", "distribution")))  # fmt: skip


class Moved(NamedTuple):
    """One movement: kind, the venue's type and id, asset, amount, time."""

    kind: str
    venue_type: str
    ref: str
    asset: str
    amount: str
    at_ms: int


class Source(NamedTuple):
    """A list of the venue. began_ms: of a row, by which the list is cut. moved: what a row moved;
    None: not known yet.
    """

    name: str
    path: str
    weight: int
    params: Mapping[str, str | int]
    limit: int
    longest_ms: int
    began_ms: Callable[[Mapping[str, Any]], int]
    moved: Callable[[Mapping[str, Any]], Sequence[Moved] | None]


def read_cash(account: Account, cursor: Cursor) -> Generator[Request, Any, Page]:
    """Its cursor: of each source its overlap, and `undone_ms` where one is not done."""
    found: list[Found] = []
    left: dict[str, Any] = {}
    through = []
    for source in SOURCES:
        page = yield from _read(source, account, cursor.get(source.name, {}))
        found += page.events
        left[source.name] = page.cursor
        through.append(page.through_ms or 0)
    through_ms = min(through)
    return Page(found, left, through_ms, through_ms < account.now_ms)


def _read(source: Source, account: Account, cursor: Cursor) -> Generator[Request, Any, Page]:
    now_ms = account.now_ms
    begin_ms = overlap.start_ms(cursor, account.since_ms)
    waiting = [int(cursor["undone_ms"])] if "undone_ms" in cursor else []
    if waiting and "resume_ms" not in cursor:
        begin_ms = min(begin_ms, max(waiting.pop(), now_ms - UNDONE_MS))
    paged = Paged(
        lambda from_ms, to_ms: Request(
            "sapi", "GET", source.path,
            {**source.params, "startTime": from_ms, "endTime": to_ms}, source.weight,
        ),
        source.began_ms,
        source.limit,
        source.longest_ms,
        rows_of=_rows,
    )  # fmt: skip
    history = yield from read_windows(paged, begin_ms, now_ms + AHEAD_MS, PAGES)
    rows, undone = [], waiting
    for row in history.rows:
        moved = source.moved(row)
        if moved is None:
            undone.append(source.began_ms(row))
        for one in moved or ():
            key = f"{one.venue_type}:{one.ref}:{one.asset}"
            rows.append(Row(key, source.began_ms(row) + 999, one._asdict()))  # some are seconds
    fresh = overlap.fresh(cursor, rows)
    through_ms = max(min(history.through_ms, now_ms), cursor.get("through_ms", 0))
    resume_ms = history.through_ms + 1 if history.through_ms < now_ms else None
    after = overlap.advanced(cursor, fresh, through_ms, resume_ms=resume_ms)
    if undone:
        after["undone_ms"] = min(undone)
    return Page([_told(account, one.row.data) for one in fresh], after, through_ms)


def _rows(answer: Any) -> list[Any]:
    return list(answer["rows"] if isinstance(answer, dict) else answer)


def _told(account: Account, moved: Mapping[str, Any]) -> Found:
    return told(
        "cash.moved.1",
        account_id=account.account_id,
        venue="binance",
        product="spot",
        instrument="",
        **moved,
    )


# -- the lists -------------------------------------------------------------------------------------


def _deposit(row: Mapping[str, Any]) -> Sequence[Moved] | None:
    """1: done, 6: credited and not free yet, which counts once its time is known."""
    if str(row.get("walletType", "0")) == "1":
        return ()
    status, done_ms = str(row["status"]), int(row.get("completeTime") or 0)
    if status == "1" or (status == "6" and done_ms):
        at_ms = done_ms or int(row["insertTime"])
        amount = plain(row["amount"])
        return [Moved("transfer_in", "DEPOSIT", str(row["id"]), row["coin"], amount, at_ms)]
    return None


def _withdrawal(row: Mapping[str, Any]) -> Sequence[Moved] | None:
    """6: done; 1, 3, 5: canceled, rejected, failed."""
    status = str(row["status"])
    if str(row.get("walletType", "0")) == "1" or status in {"1", "3", "5"}:
        return ()
    if status != "6":
        return None
    # The end of its second: a snapshot before it may not have seen it, and one so shortly after it
    # is not kept.
    ref, coin, at_ms = str(row["id"]), row["coin"], _applied_ms(row) + 999
    moved = [Moved("transfer_out", "WITHDRAW", ref, coin, negated(row["amount"]), at_ms)]
    fee = row.get("transactionFee") or "0"
    if sign(fee):
        moved.append(Moved("transfer_out", "WITHDRAW_FEE", ref, coin, negated(fee), at_ms))
    return moved


def _applied_ms(row: Mapping[str, Any]) -> int:
    """The venue writes UTC, to the second."""
    applied = datetime.strptime(row["applyTime"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return int(applied.timestamp()) * 1000


def _transfer(row: Mapping[str, Any]) -> Sequence[Moved] | None:
    if row["status"] != "CONFIRMED":
        return () if row["status"] == "FAILED" else None
    out = row["type"].startswith("MAIN_")
    amount = negated(row["amount"]) if out else plain(row["amount"])
    kind = "transfer_out" if out else "transfer_in"
    at_ms = int(row["timestamp"])
    return [Moved(kind, row["type"], str(row["tranId"]), row["asset"], amount, at_ms)]


def _paid_out(row: Mapping[str, Any]) -> Sequence[Moved]:
    words = str(row.get("enInfo", "")).lower()
    kind = next((kind for kind, named in _PAID_OUT if any(one in words for one in named)), "other")
    amount, at_ms = plain(row["amount"]), int(row["divTime"])
    return [Moved(kind, "DIVIDEND", str(row["id"]), row["asset"], amount, at_ms)]


def _transfers(type_: str) -> Source:
    return Source(
        type_, "asset/transfer", 1, {"type": type_, "size": 100}, 100, 30 * DAY_MS,
        lambda row: int(row["timestamp"]), _transfer,
    )  # fmt: skip


SOURCES: Sequence[Source] = (
    Source(
        "deposits", "capital/deposit/hisrec", 1, {"limit": 1_000}, 1_000, 90 * DAY_MS,
        lambda row: int(row["insertTime"]), _deposit,
    ),
    Source(
        "withdrawals", "capital/withdraw/history", 1, {"limit": 1_000}, 1_000, 90 * DAY_MS,
        _applied_ms, _withdrawal,
    ),
    Source(
        "dividends", "asset/assetDividend", 10, {"limit": 500}, 500, 90 * DAY_MS,
        lambda row: int(row["divTime"]), _paid_out,
    ),
    *(_transfers(type_) for one in WALLETS for type_ in (f"MAIN_{one}", f"{one}_MAIN")),
)  # fmt: skip
