"""The twenty-five traps of capturing changes, each with the tests that show we are not in it, or
with why it is none of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.named_tests import missing

ASSEMBLER = "shared/cdc/test_assembler.py"
SOURCE = "shared/cdc/test_source.py"
FAULTS = "shared/cdc/test_source_faults.py"
STATEMENTS = "shared/cdc/test_statements.py"
SERVER = "shared/cdc/test_server_settings.py"
STOPS = "shared/cdc/test_rows_that_stop.py"
ROWS = "shared/cdc/test_rows.py"
TYPES = "shared/cdc/test_types.py"
CHARSETS = "shared/cdc/test_charsets.py"
DECODERS = "shared/cdc/test_decoders.py"
LOG = "shared/cdc/test_log.py"
COLLECTOR = "workers/cdc/test_collector.py"
REDIS = "workers/cdc/test_collector_redis.py"
SNAPSHOT = "workers/cdc/test_snapshot.py"
SNAPSHOT_VALUES = "workers/cdc/test_snapshot_values.py"
PREFLIGHT = "workers/cdc/test_preflight.py"
VERIFY = "workers/cdc/test_verify.py"
AUDIT = "workers/cdc/test_audit.py"
TYPED = "workers/cdc/test_history_typed.py"
HISTORY = "workers/cdc/test_history.py"
SINKS = "contracts/test_sinks.py"
EDITIONS = "shared/timescale/test_editions.py"
ROLLUPS = "shared/timescale/test_rollups.py"

TRAPS: dict[int, tuple[str, Sequence[str]]] = {
    1: ("saves a position inside a transaction", [
        f"{ASSEMBLER}::test_positions_are_between_transactions_only",
        f"{ASSEMBLER}::test_rows_in_the_middle_of_nowhere_stop",
        f"{SOURCE}::test_a_statement_of_many_events_is_one_piece",
        f"{LOG}::test_a_transaction_in_parts_moves_the_place_with_its_last_chunk",
    ]),
    2: ("reconnects by itself and reads again what it had", [
        f"{SOURCE}::test_a_connection_that_is_killed_each_second_loses_and_repeats_nothing",
        f"{COLLECTOR}::test_a_dump_that_is_killed_again_and_again_loses_nothing",
    ]),
    3: ("begins at the oldest log, or asks in a way that ends the connection", [
        f"{SOURCE}::test_what_was_committed_before_the_position_does_not_come",
        f"{SOURCE}::test_an_idle_log_is_told_to_be_quiet",
    ]),
    4: ("passes over events that it does not know", [
        f"{ASSEMBLER}::test_a_kind_of_event_that_nobody_knows_stops",
        f"{ASSEMBLER}::test_every_kind_is_declared_once",
        f"{FAULTS}::test_a_compressed_log_stops",
        f"{FAULTS}::test_a_part_of_a_json_document_stops",
    ]),
    5: ("trusts a variable about events that were written before it was set", [
        f"{SERVER}::test_setting_row_metadata_to_full_does_not_repair_what_was_logged_before",
        f"{STOPS}::test_an_event_without_its_metadata_stops_whatever_the_variable_says_now",
    ]),
    6: ("takes a log without cascades for a whole one", [
        f"{PREFLIGHT}::test_rows_that_a_foreign_key_changes_are_unprovable_where_they_are_not_logged",
        f"{VERIFY}::test_what_cannot_be_proven_is_named",
    ]),
    7: ("misses what a statement, or a session without a log, has changed", [
        f"{FAULTS}::test_a_statement_that_changes_rows_stops",
        f"{FAULTS}::test_a_statement_with_rows_from_a_file_stops",
        f"{STATEMENTS}::test_a_statement_that_changes_rows_of_a_captured_table_stops",
        f"{SNAPSHOT}::test_deletes_that_never_reached_the_log_are_found",
        f"{VERIFY}::test_what_differs_is_named",
    ]),
    8: ("takes an update that changes the key for one row", [
        f"{ROWS}::test_a_changed_key_is_a_delete_and_a_create",
        f"{SNAPSHOT}::test_snapshot_and_log_are_the_table_whatever_is_written",
    ]),
    9: ("loses zero bytes at the end", [
        f"{TYPES}::test_the_log_says_what_select_says",
        f"{SNAPSHOT_VALUES}::test_a_snapshot_reads_what_the_log_tells",
    ]),
    10: ("decodes times, labels and charsets almost right", [
        f"{TYPES}::test_the_log_says_what_select_says",
        f"{DECODERS}::test_any_time_is_exact",
        f"{DECODERS}::test_a_timestamp_of_zero_is_marked",
        f"{CHARSETS}::test_every_code_is_the_character_that_the_server_takes_it_for",
    ]),
    11: ("compares moments in two time zones", [
        f"{TYPES}::test_the_log_says_what_select_says",
        f"{SNAPSHOT_VALUES}::test_a_snapshot_reads_what_the_log_tells",
        f"{VERIFY}::test_source_and_sinks_are_the_same_while_everything_goes_on",
    ]),
    12: ("orders rows by updated_at", [
        f"{AUDIT}::test_the_order_of_changes_is_the_logs_whatever_the_rows_say_of_their_time",
        f"{HISTORY}::test_commit_times_of_whole_seconds_leave_the_order_to_the_sequence",
    ]),
    13: ("rests on ids that Redis gives", [
        f"{LOG}::test_the_ids_of_a_stream_that_was_deleted_are_not_taken_again",
        f"{SINKS}::test_a_stream_that_was_lost_and_appended_again_changes_nothing",
    ]),
    14: ("believes that MULTI or a script is undone by its error", [
        f"{LOG}::test_a_missing_grant_is_found_before_anything_is_written",
        f"{LOG}::test_a_gap_of_our_own_making_is_not_written",
    ]),
    15: ("counts a refusal as success", [
        f"{LOG}::test_a_redis_that_refuses_has_taken_nothing",
        f"{REDIS}::test_a_refusal_is_no_success_and_nothing_is_lost",
    ]),
    16: ("trims what somebody has not read", [
        f"{COLLECTOR}::test_only_what_every_sink_has_is_trimmed",
        f"{SINKS}::test_nothing_of_a_transaction_shows_before_its_last_chunk",
    ]),
    17: ("updates another row by a second unique index", [
        f"{AUDIT}::test_no_unique_index_but_the_key_can_make_one_row_of_two",
    ]),
    18: ("makes two rows of one because its time changed", [
        f"{TYPED}::test_a_fill_whose_time_is_corrected_is_one_fill",
    ]),
    19: ("loses roll-ups to retention, or stands before compressed rows", [
        f"{ROLLUPS}::test_retention_takes_raw_rows_and_no_rollup_and_late_rows_still_count",
        (f"{EDITIONS}::"
        "test_the_columnstore_takes_late_rows_and_lets_old_ones_go_where_the_edition_has_one"),
    ]),
    20: ("takes the edition from what functions there are", [
        f"{EDITIONS}::test_the_edition_is_what_the_server_says_and_has_what_belongs_to_it",
        f"{EDITIONS}::test_the_apache_edition_is_given_nothing_that_it_would_refuse",
    ]),
    21: ("takes a log that began anew for one that has nothing to tell", [
        f"{FAULTS}::test_a_log_that_was_reset_is_an_error",
        f"{FAULTS}::test_a_position_beyond_the_end_is_an_error",
        f"{COLLECTOR}::test_another_server_is_not_followed_silently",
        (f"{SINKS}::"
        "test_a_log_that_was_reset_is_another_one_though_its_files_are_named_the_same"),
    ]),
    22: ("counts positions in 32 bits, or believes a position of 0", [
        f"{ASSEMBLER}::test_positions_are_counted_beyond_4_gigabytes",
        f"{ASSEMBLER}::test_positions_are_counted_where_the_server_tells_none",
    ]),
    23: ("fights another replica over a server id", [
        f"{SOURCE}::test_a_server_id_that_another_replica_uses_is_refused",
        f"{SOURCE}::test_a_reader_that_is_replaced_by_its_successor_says_so",
    ]),
    24: ("tells of a prepared transaction that may never be", [
        f"{SOURCE}::test_a_prepared_transaction_comes_with_its_outcome",
        f"{SOURCE}::test_a_prepared_transaction_that_is_rolled_back_vanishes",
        f"{FAULTS}::test_a_held_transaction_whose_beginning_is_purged_is_an_error",
    ]),
}  # fmt: skip

ELSEWHERE = {25: "engines that fetch extensions when they run: none of them is used here"}


def test_all_twenty_five_are_here() -> None:
    assert sorted([*TRAPS, *ELSEWHERE]) == list(range(1, 26))


@pytest.mark.parametrize("number", TRAPS)
def test_a_trap_has_the_tests_that_its_row_names(number: int) -> None:
    _, tests = TRAPS[number]
    assert missing(tests) == []
    assert tests
