"""The thirty traps of P&L bookkeeping beside an exchange, each with the tests that show we are not
in it, or with what it belongs to instead of the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.named_tests import missing

POSITION = "shared/ledger/test_position.py"
PROOF = "shared/ledger/test_fold_proof.py"
PUBLISHED = "shared/ledger/test_published_examples.py"
CASES = "shared/ledger/test_cases.py"
PERFORMANCE = "shared/ledger/test_performance.py"
BOOK_CASES = "shared/mysql/test_book_cases.py"
DELIVERY = "shared/mysql/test_any_delivery.py"
FILLS = "shared/mysql/test_book_fills.py"
ENTRIES = "shared/mysql/test_book_entries.py"
ATTRIBUTION = "shared/mysql/test_book_attribution.py"
RESTATED = "shared/mysql/test_restatements.py"
EQUITY = "shared/mysql/test_equity.py"
PRICES = "shared/mysql/test_prices.py"
FACTS = "shared/mysql/test_facts.py"
RECONCILE = "workers/test_reconcile.py"
ADOPT = "workers/test_adopt.py"
DECODE = "workers/events/test_decode_events.py"
MALFORMED = "workers/events/test_malformed.py"

TRAPS: dict[int, tuple[str, Sequence[str]]] = {
    3: ("takes a balance with unrealized P&L in it for the wallet", [
        f"{RECONCILE}::test_a_wallet_with_unrealized_profit_in_it_does_not_tie",
    ]),
    4: ("tells fills and income apart by too little", [
        f"{BOOK_CASES}::test_fills_alike_in_all_but_their_id_are_different_fills",
        f"{BOOK_CASES}::test_one_trade_id_of_two_instruments_is_two_fills",
        f"{BOOK_CASES}::test_one_id_of_two_types_of_income_is_two_rows",
        f"{FILLS}::test_a_self_trade_is_two_fills",
    ]),
    5: ("averages the entry of an inverse contract arithmetically", [
        f"{PROOF}::test_a_harmonic_entry_is_the_price_at_which_all_contracts_have_the_value_paid",
        f"{PUBLISHED}::test_bybit_average_entry_of_an_inverse_contract",
        f"{CASES}::test_several_entry_prices_of_an_inverse_contract_are_no_arithmetic_mean",
    ]),
    6: ("takes a flip for one fill", [
        f"{PROOF}::test_a_flip_splits_quantity_and_value_and_opens_at_its_own_price",
        f"{CASES}::test_a_flip_realizes_on_what_it_closes_only",
    ]),
    7: ("computes with a rounded average price", [
        f"{BOOK_CASES}::test_the_average_entry_is_shown_and_never_computed_with",
        f"{PROOF}::test_shares_are_off_by_half_a_quantum_each_at_most",
    ]),
    8: ("rounds partial closes and loses the remainder", [
        f"{PROOF}::test_i1_between_two_flats_realized_is_the_sum_of_the_values_exactly",
        f"{POSITION}::test_a_closed_cycle_is_exact_although_every_share_was_rounded",
    ]),
    9: ("has one idea of a fee: its sign, its asset, its time", [
        f"{BOOK_CASES}::test_a_rebate_of_a_fill_is_a_negative_fee_and_one_of_the_venue_is_other_income",
        f"{BOOK_CASES}::test_a_commission_that_comes_later_as_a_revision_ends_alike_in_any_order",
        f"{BOOK_CASES}::test_a_fee_in_a_third_asset_stands_in_that_asset_and_moves_no_position",
        f"{BOOK_CASES}::test_funding_of_midnight_in_another_asset_than_the_contract_s",
    ]),
    10: ("counts funding and fees twice, beside a realized figure that nets them", [
        f"{PUBLISHED}::test_bybit_closed_pnl_is_ours_less_fees_and_funding",
        f"{CASES}::test_realized_is_price_only_as_the_venue_reports_it",
        f"{ENTRIES}::test_funding_and_other_kinds_go_to_their_daily_columns",
    ]),
    11: ("invents a fill to make quantities agree", [
        f"{PROOF}::test_entries_realize_nothing_and_an_opening_is_all_that_is_held",
        f"{RECONCILE}::test_comparing_changes_no_books",
    ]),
    12: ("takes no answer for a flat position", [
        f"{RECONCILE}::test_a_position_that_no_report_names_is_not_taken_for_flat",
        f"{ADOPT}::test_a_position_that_no_report_names_is_told_and_left",
    ]),
    13: ("applies a snapshot and the fills that it contains", [
        f"{BOOK_CASES}::test_fills_that_an_opening_contains_are_not_counted_again",
        f"{DELIVERY}::test_an_opening_that_comes_last_ends_as_one_that_came_first",
        f"{RECONCILE}::test_a_fill_at_the_watermark_is_in_the_report_and_one_after_it_is_not",
    ]),
    14: ("shows deposits as profit", [
        f"{CASES}::test_what_is_no_income_or_stands_in_the_fills_already_has_no_daily_column",
        f"{RECONCILE}::test_a_deposit_is_in_the_wallet_and_in_no_profit",
        f"{EQUITY}::test_a_transfer_cuts_the_curve_at_its_moment_and_is_no_return",
        f"{PERFORMANCE}::test_a_deposit_is_no_return",
        f"{PERFORMANCE}::test_a_withdrawal_is_no_drawdown",
    ]),
    15: ("has days of local time", [
        f"{POSITION}::test_midnight_belongs_to_the_new_day",
        f"{CASES}::test_a_bnfcr_funding_row_of_midnight_is_of_the_new_day",
        f"{ENTRIES}::test_funding_at_midnight_belongs_to_the_new_day",
        f"{RESTATED}::test_midnight_belongs_to_the_new_day",
        f"{EQUITY}::test_a_movement_at_midnight_is_of_the_new_day",
    ]),
    20: ("knows a position by its symbol alone", [
        f"{BOOK_CASES}::test_long_and_short_of_a_hedge_are_two_positions_of_one_daily_row",
        f"{CASES}::test_a_short_of_a_hedge_is_closed_by_a_buy_and_knows_nothing_of_the_long",
        f"{PROOF}::test_both_modes_come_to_the_same_total_at_every_price",
        f"{RECONCILE}::test_fills_of_the_other_mode_are_a_conflict_from_the_day_of_the_fact",
    ]),
    21: ("takes contract sizes and names for eternal", [
        f"{CASES}::test_each_fill_counts_with_the_contract_size_of_its_own_time",
        f"{PUBLISHED}::test_kucoin_contracts_of_a_thousandth",
        f"{FACTS}::test_the_instrument_of_a_moment_is_the_newest_fact_before_it",
    ]),
    22: ("stumbles over a fill without an order of ours", [
        f"{BOOK_CASES}::test_a_forced_close_is_a_fill_like_any_other_without_an_order_of_ours",
        f"{ATTRIBUTION}::test_what_the_venue_did_by_itself_is_manual_unless_it_is_tagged",
    ]),
    23: ("lets an amount pass through a float or a short decimal context", [
        f"{POSITION}::test_the_thread_s_own_decimal_context_changes_nothing",
        f"{FILLS}::test_the_smallest_and_the_largest_amounts_are_stored_to_the_digit",
        f"{DECODE}::test_a_valid_fill_keeps_every_field_and_every_digit",
        f"{MALFORMED}::test_every_kind_is_refused_for_its_reason_in_words",
    ]),
    24: ("knows a past that nobody can know", [
        f"{RECONCILE}::test_what_was_held_before_our_first_fill_is_an_unknown_past",
        f"{POSITION}::test_spot_sold_beyond_the_holding_has_unknown_basis_and_no_realized",
        f"{ADOPT}::test_a_desk_without_history_comes_in_and_ties",
    ]),
    26: ("values by a missing price, or an old fee by today's", [
        f"{PRICES}::test_each_instrument_gets_the_last_price_at_or_before_its_moment",
        f"{PRICES}::test_a_fee_in_another_asset_is_worth_what_that_cost_when_the_fill_was_made",
        f"{EQUITY}::test_a_position_without_a_price_makes_a_point_unpriceable_and_says_why",
    ]),
    27: ("has a drawdown without a baseline, and several win rates", [
        f"{PERFORMANCE}::test_a_loss_from_the_first_day_on_is_a_drawdown",
        f"{PERFORMANCE}::test_rates_are_taken_over_closed_cycles",
        f"{PERFORMANCE}::test_costs_decide_whether_a_cycle_was_won",
    ]),
}  # fmt: skip

ELSEWHERE = {
    1: "paging by time: the sync of exchanges",
    2: "a client that drops digits: the sync of exchanges",
    16: "a clock that is wrong: the sync of exchanges",
    17: "limits of one address: the sync of exchanges",
    18: "a revoked key: the sync of exchanges",
    19: "a cursor beside its rows: offsets of streams, and the sync of exchanges",
    25: "one account linked twice: the sync of exchanges, which knows the venue's own id",
    28: "an edited signal traded twice: signals",
    29: "no news taken for nothing: the sync of exchanges",
    30: "derived fields of a client: the sync of exchanges",
}


def test_all_thirty_are_here() -> None:
    assert sorted([*TRAPS, *ELSEWHERE]) == list(range(1, 31))


@pytest.mark.parametrize("number", TRAPS)
def test_a_trap_has_the_tests_that_its_row_names(number: int) -> None:
    _, tests = TRAPS[number]
    assert missing(tests) == []
    assert tests
