"""A snapshot counts only where nothing moved around it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.exchanges.venue import Found, Kind, Page
from tests.workers.sync.samples import (
    NOW_MS,
    balance_found,
    fill_found,
    page,
    position_found,
)
from workers.registry import EVENTS
from workers.sync.judge import QUIET_MS, content_of, holds, judge, openings

SNAPSHOTS = (position_found(), balance_found())


@given(st.integers(min_value=-3 * QUIET_MS, max_value=3 * QUIET_MS))
def test_a_snapshot_between_fills_is_left_out_and_the_fills_stay(offset_ms: int) -> None:
    moved = fill_found(at_ms=NOW_MS + offset_ms)
    judged = judge(
        {"positions": page(SNAPSHOTS[0]), "balances": page(SNAPSHOTS[1]),
         "cash": page(), "fills": page(moved)},
        NOW_MS,
    )  # fmt: skip
    assert judged.restless == (offset_ms >= -QUIET_MS)
    assert judged.events == [moved]
    assert judged.snapshots == ([] if judged.restless else [*SNAPSHOTS])
    assert judged.moved_ms == NOW_MS + offset_ms


def test_a_snapshot_whose_movements_were_not_all_read_is_left_out() -> None:
    snapshot: dict[Kind, Page] = {"positions": page(SNAPSHOTS[0])}
    unread = judge({**snapshot, "cash": page()}, NOW_MS)
    half = judge({**snapshot, "cash": page(), "fills": page(more=True)}, NOW_MS)
    whole = judge({**snapshot, "cash": page(), "fills": page()}, NOW_MS)
    assert (unread.snapshots, half.snapshots, whole.snapshots) == ([], [], [SNAPSHOTS[0]])


def test_a_movement_that_was_told_before_disturbs_a_snapshot_of_its_second() -> None:
    """A withdrawal is stamped to the second: told at .100, it may have happened at .900."""
    pages: dict[Kind, Page] = {
        "balances": page(SNAPSHOTS[1]), "cash": page(), "fills": page(),
    }  # fmt: skip
    assert judge(pages, NOW_MS, NOW_MS + 800).restless
    assert not judge(pages, NOW_MS, NOW_MS - QUIET_MS - 1).restless


def test_snapshots_say_the_same_whatever_their_moment_and_mark_and_order() -> None:
    later = [balance_found(at_ms=NOW_MS + 1), position_found(at_ms=NOW_MS + 1, mark_price="7")]
    assert content_of(later) == content_of(SNAPSHOTS)
    assert content_of([*later[:1], position_found(qty="2.6")]) != content_of(SNAPSHOTS)
    assert content_of([]) == ""


def test_zero_is_nothing_held_however_it_is_written() -> None:
    assert not holds([position_found(qty=zero) for zero in ("0", "0.000", "-0.0")])
    assert holds([position_found(qty="-0.001")])
    assert not holds([balance_found()])


def test_what_was_held_when_it_was_linked_becomes_one_valid_opening() -> None:
    short = position_found(qty="-2.5", contract_size="0.01", mark_price="61000")
    flat = position_found(qty="0", instrument="ETHUSDT")
    unpriced = position_found(instrument="SOLUSDT", entry_price=None)
    [opening] = openings([short, flat, unpriced, balance_found()])
    assert opening == Found(
        "position.opened.1",
        {
            "account_id": 7, "venue": "testing", "product": "linear", "instrument": "BTCUSDT",
            "position_side": "net", "qty": "-2.5", "entry_price": "60000.5",
            "contract_size": "0.01", "settle_asset": "USDT", "ref": f"linked:{NOW_MS}",
            "at_ms": NOW_MS,
        },
    )  # fmt: skip
    assert opening.type in EVENTS
