"""The forty ways in which a naive bridge to Laravel's queues loses, doubles or corrupts a job, each
with the tests that show ours does not. `Trap 7` in a test's text is number 7 here.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.named_tests import missing

PAYLOAD = "shared/laravel/test_payload.py"
RESERVE = "shared/laravel/test_reservations.py"
DISPATCH = "shared/laravel/test_dispatch.py"
VERDICT = "shared/laravel/test_verdict.py"
FAILED = "shared/laravel/test_failed_jobs.py"
CACHE = "shared/laravel/test_cache.py"
SIGNALS = "shared/laravel/test_signals.py"
COMMAND = "shared/laravel/test_command.py"
PROBE = "shared/laravel/test_probe.py"
RELAY = "workers/test_dispatches.py"
WORKER = "workers/laravel/test_worker.py"
ENDINGS = "workers/laravel/test_endings.py"
WATCH = "workers/laravel/test_watch.py"
QUARANTINE = "workers/laravel/test_quarantine.py"
HORIZON = "workers/laravel/test_horizon.py"

TRAPS: dict[int, tuple[str, Sequence[str]]] = {
    # Loses
    1: ("takes a job off the list before it is reserved", [
        f"{RESERVE}::test_a_reserved_job_is_off_the_list_with_one_attempt_more",
        f"{RESERVE}::test_what_a_dead_worker_held_returns_to_the_head_as_it_was",
    ]),
    2: ("pushes without attempts", [
        f"{DISPATCH}::test_the_payload_has_everything_that_a_worker_and_horizon_look_for",
        f"{RESERVE}::test_what_redis_cannot_reserve_is_set_aside_and_the_next_job_runs",
    ]),
    3: ("pushes JSON that Redis cannot read", [
        f"{DISPATCH}::test_text_that_json_cannot_carry_is_refused_to_its_caller",
        f"{RESERVE}::test_what_redis_cannot_reserve_is_set_aside_and_the_next_job_runs",
        f"{QUARANTINE}::test_every_bad_payload_is_kept_with_its_bytes_and_the_job_behind_it_runs",
    ]),
    4: ("pushes without uuid: a failure leaves no row", [
        f"{PAYLOAD}::test_a_job_that_could_not_be_recorded_is_refused",
        f"{ENDINGS}::test_a_row_that_cannot_be_written_keeps_the_job_reserved",
    ]),
    5: ("pushes without displayName", [
        f"{PAYLOAD}::test_without_a_display_name_a_job_has_the_name_of_its_class",
        f"{DISPATCH}::test_the_payload_has_everything_that_a_worker_and_horizon_look_for",
    ]),
    6: ("pushes without uuid and id under Horizon", [
        f"{PAYLOAD}::test_a_job_that_could_not_be_recorded_is_refused",
        f"{QUARANTINE}::test_every_bad_payload_is_kept_with_its_bytes_and_the_job_behind_it_runs",
    ]),
    7: ("adds two identical payloads to the delayed set", [
        f"{RESERVE}::test_two_identical_delayed_payloads_are_one_job",
        f"{DISPATCH}::test_every_dispatch_has_a_uuid_of_its_own",
        f"{DISPATCH}::test_a_delayed_job_waits_for_its_time",
    ]),
    8: ("never moves what is due on a queue without PHP", [
        f"{RESERVE}::test_delayed_jobs_and_abandoned_ones_come_back_without_any_php",
        f"{WORKER}::test_a_job_that_php_delayed_runs_when_it_is_due",
    ]),
    9: ("pushes without a notice", [
        f"{DISPATCH}::test_php_runs_a_job_with_what_it_was_given",
        f"{WORKER}::test_a_push_wakes_an_idle_worker",
    ]),
    10: ("uses another prefix, database or name", [
        f"{DISPATCH}::test_a_job_goes_where_a_laravel_worker_looks",
        f"{PROBE}::test_the_prefix_under_which_laravel_has_keys_is_taken",
        f"{PROBE}::test_keys_under_both_refuse_to_start",
    ]),
    11: ("gives protected properties by their plain names", [
        f"{DISPATCH}::test_a_property_that_is_not_given_has_the_default_of_its_class",
        f"{FAILED}::test_a_failed_object_job_is_retried_and_runs_again",
    ]),
    12: ("scores in milliseconds", [
        f"{RESERVE}::test_a_released_job_is_due_after_its_delay_with_its_attempt_counted",
        f"{RESERVE}::test_both_sides_score_in_seconds_of_one_clock",
        f"{DISPATCH}::test_a_delayed_job_waits_for_its_time",
    ]),
    13: ("writes a failed row that cannot be retried", [
        f"{FAILED}::test_a_row_is_what_laravel_itself_writes",
        f"{FAILED}::test_a_failed_job_is_retried_and_runs_again",
        f"{WORKER}::test_a_failed_job_is_retried_by_artisan_and_runs",
    ]),
    14: ("keeps its broker where cache:clear flushes", [
        f"{CACHE}::test_clearing_the_cache_takes_no_job_with_it",
    ]),
    15: ("shares a Redis key between Celery and Laravel", [
        f"{RESERVE}::test_no_key_of_ours_is_a_queue_to_laravel",
        f"{QUARANTINE}::test_every_bad_payload_is_kept_with_its_bytes_and_the_job_behind_it_runs",
    ]),
    16: ("takes an error of a script for an empty queue", [
        f"{RESERVE}::test_an_error_of_a_script_is_an_error_and_no_empty_queue",
        f"{DISPATCH}::test_a_full_redis_refuses_and_its_caller_hears_of_it",
    ]),
    17: ("drops the rest of a chain or batch", [
        f"{WORKER}::test_a_chain_goes_back_to_php_with_the_job_that_is_done",
        f"{WORKER}::test_every_job_of_a_batch_is_told_to_php_done_or_failed",
        f"{ENDINGS}::test_a_failure_that_concerns_php_is_handed_back",
    ]),
    18: ("keeps the lock of a unique job", [
        f"{CACHE}::test_the_lock_of_a_unique_job_is_released_for_php",
        f"{ENDINGS}::test_the_lock_of_a_unique_job_goes_with_its_end",
        f"{WORKER}::test_a_unique_job_can_be_dispatched_again_when_it_is_done",
    ]),
    # Queue::forward stands in PHP code alone: who uses it writes the other name into FLEET_QUEUES.
    19: ("uses the name of a queue that was forwarded, or a cluster's without braces", [
        f"{RESERVE}::test_all_keys_of_a_queue_with_braces_are_in_one_slot",
    ]),
    # Doubles
    20: ("runs longer than its reservation", [
        f"{WATCH}::test_a_long_job_keeps_its_reservation",
        f"{WATCH}::test_a_job_that_waits_for_a_server_is_renewed_all_the_same",
        f"{RESERVE}::test_a_renewed_reservation_holds_for_another_period",
    ]),
    21: ("releases after its reservation ran out", [
        f"{RESERVE}::test_a_late_worker_neither_deletes_nor_releases",
        f"{ENDINGS}::test_a_job_that_is_somebody_elses_gets_neither_row_nor_release",
        f"{WORKER}::test_a_worker_that_overslept_its_hold_ends_nothing",
    ]),
    22: ("removes a string that it encoded anew", [
        f"{RESERVE}::test_the_reserved_string_is_byte_for_byte_that_of_php",
        f"{RESERVE}::test_a_completed_job_leaves_nothing",
    ]),
    23: ("leaves the deletion to a handler that does not do it", [
        f"{WORKER}::test_a_job_pushed_by_name_needs_no_object",
    ]),
    # A retry in Horizon leaves the row, whoever wrote it: one row and one record, as PHP has them.
    24: ("is retried in Horizon and by queue:retry", [
        f"{WORKER}::test_the_last_attempt_fails_for_good",
        f"{HORIZON}::test_a_step_leaves_what_horizon_would_leave",
    ]),
    25: ("acknowledges before its commit, or pushes before the caller's", [
        f"{WORKER}::test_a_commit_that_failed_leaves_the_job_reserved_and_it_is_tried_again",
        f"{WORKER}::test_nothing_of_a_failed_attempt_is_committed",
        f"{RELAY}::test_a_job_is_in_its_callers_transaction",
    ]),
    26: ("retries by Celery and by Laravel", [
        # No Celery task is made of a job: what raises is released, and nothing else.
        f"{WORKER}::test_a_handler_that_raises_is_tried_again_after_its_backoff",
    ]),
    27: ("has another clock", [
        f"{RESERVE}::test_both_sides_score_in_seconds_of_one_clock",
    ]),
    28: ("has a timeout above the other side's retry_after", [
        f"{WATCH}::test_a_run_that_takes_too_long_ends_the_process",
    ]),
    # Corrupts
    29: ("trusts long JSON numbers in a second attempt", [
        f"{RESERVE}::test_numbers_that_redis_shortens_are_read_from_the_original",
        f"{DISPATCH}::test_every_property_comes_out_as_it_went_in",
    ]),
    30: ("takes {} for an object where [] was meant", [
        f"{PAYLOAD}::test_what_redis_makes_of_a_payload_reads_the_same",
        f"{RESERVE}::test_an_empty_list_in_the_payload_is_an_object_afterwards",
    ]),
    31: ("sends backoff as a list", [
        f"{DISPATCH}::test_the_payload_has_everything_that_a_worker_and_horizon_look_for",
        f"{PAYLOAD}::test_what_no_worker_can_run_is_refused_with_a_sentence",
    ]),
    32: ("counts characters for bytes", [
        f"{DISPATCH}::test_every_property_comes_out_as_it_went_in",
        f"{DISPATCH}::test_php_runs_a_job_with_what_it_was_given",
    ]),
    33: ("looks by taking and putting back", [
        f"{RESERVE}::test_jobs_given_back_stand_where_they_stood",
        f"{WORKER}::test_a_worker_that_stops_gives_back_what_it_has_in_hand",
    ]),
    34: ("sends a delay for information", [
        f"{DISPATCH}::test_what_is_left_open_is_left_to_the_worker",
        f"{VERDICT}::test_the_verdict_is_that_of_the_real_worker",
        f"{ENDINGS}::test_the_backoff_of_a_job_without_one_is_its_delay",
    ]),
    35: ("sends tags as null", [
        f"{PAYLOAD}::test_tags_that_are_null_are_none",
        f"{DISPATCH}::test_what_is_left_open_is_left_to_the_worker",
    ]),
    36: ("takes a missing property for null", [
        f"{WORKER}::test_arguments_that_are_not_the_models_fail_with_a_sentence",
        f"{DISPATCH}::test_a_property_that_is_not_given_has_the_default_of_its_class",
    ]),
    37: ("decrypts once and expects an object", [
        f"{COMMAND}::test_an_encrypted_job_is_serialized_twice",
        f"{WORKER}::test_an_encrypted_job_is_run_too",
    ]),
    38: ("writes Horizon's records with other signs, units or names", [
        f"{HORIZON}::test_a_step_leaves_what_horizon_would_leave",
    ]),
    39: ("registers a supervisor that Horizon cannot end, or that hides a dead one", [
        f"{HORIZON}::test_what_horizons_pages_and_its_shutdown_read_is_complete",
        f"{HORIZON}::test_no_host_name_of_php_can_be_the_beginning_of_our_masters_name",
        f"{HORIZON}::test_a_node_shows_itself_only_beside_a_living_horizon",
    ]),
    40: ("reads signals where they are not", [
        f"{SIGNALS}::test_a_restart_changes_the_mark",
        f"{SIGNALS}::test_a_store_out_of_reach_is_said_and_stops_nothing",
        f"{WORKER}::test_a_cache_out_of_reach_is_said_and_jobs_run",
    ]),
}  # fmt: skip


def test_there_are_forty() -> None:
    assert sorted(TRAPS) == list(range(1, 41))


@pytest.mark.parametrize("number", TRAPS)
def test_a_trap_has_the_tests_that_its_row_names(number: int) -> None:
    _, tests = TRAPS[number]
    assert missing(tests) == []
    assert tests
