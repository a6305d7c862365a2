"""Every metric of the fleet, one row each: a dashboard can be written from this page alone, and a
typo in a name is an error instead of a second series.

`process`: each process tells what it did itself. `fleet`: the exporter (role `metrics`) tells what
is so in MySQL, Redis and TimescaleDB, whoever runs, and also when nobody does. Beside them each
process tells `process_*` as all Prometheus clients do: memory, processor time, open files.
No label is called `job` or `instance`: Prometheus gives every series its own of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Metric(NamedTuple):
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


_PARTITION = ("consumer", "stream", "partition")

PROCESS: Mapping[str, Metric] = {
    "fleet_batches_total": Metric("counter", ("stream", "outcome"), "Batches by outcome."),
    "fleet_events_total": Metric("counter", ("stream",), "Events applied."),
    "fleet_parked_total": Metric("counter", ("stream", "reason"), "Events parked."),
    "fleet_handler_failures_total": Metric(
        "counter", ("stream", "type"), "Events that a handler of ours failed on."
    ),
    "fleet_batch_seconds": Metric(
        "histogram", ("stream",), "Read to commit of one batch.", _SECONDS
    ),
    "fleet_batch_events": Metric("histogram", ("stream",), "Events in one batch.", _SIZES),
    "fleet_fenced_total": Metric("counter", ("stream",), "Batches refused by a newer epoch."),
    "fleet_takeovers_total": Metric("counter", ("stream",), "Partitions taken over."),
    "fleet_redis_losses_total": Metric("counter", ("stream",), "Losses of Redis noticed."),
    "fleet_relay_appended_total": Metric("counter", ("stream",), "Outbox rows appended."),
    "fleet_relay_resent_total": Metric("counter", ("cause",), "Rows sent again, by cause."),
    "fleet_laravel_jobs_total": Metric(
        "counter", ("queue", "job_name", "outcome"), "Runs of Laravel jobs by outcome."
    ),
    "fleet_laravel_job_seconds": Metric("histogram", ("queue",), "Run time of a job.", _SECONDS),
    "fleet_dispatches_total": Metric(
        "counter", ("job_name", "outcome"), "Jobs towards Laravel: recorded, or off."
    ),
    "fleet_dispatches_pushed_total": Metric("counter", (), "Jobs pushed to Laravel's queues."),
    "fleet_task_runs_total": Metric("counter", ("task", "outcome"), "Scheduled runs by outcome."),
    "fleet_task_seconds": Metric("histogram", ("task",), "Scheduled runs.", _SECONDS),
    "fleet_sync_accounts_total": Metric("counter", ("outcome",), "Accounts asked, by outcome."),
    "fleet_sync_events_total": Metric("counter", ("venue",), "Events that the sync found."),
    "fleet_streams_up": Metric("gauge", ("venue",), "User streams of this process that are up."),
    "fleet_stream_events_total": Metric("counter", ("venue",), "Events that user streams told."),
    "fleet_stream_gaps_total": Metric("counter", ("venue", "cause"), "Gaps of user streams."),
    "fleet_operator_jobs_total": Metric(
        "counter", ("job_name", "outcome"), "RQ jobs by outcome."
    ),
    "fleet_exchange_requests_total": Metric(
        "counter", ("venue", "outcome"), "Requests to exchanges by outcome."
    ),
    "fleet_exchange_throttled_total": Metric(
        "counter", ("venue", "egress"), "Pauses that a venue asked for."
    ),
    "fleet_exchange_wait_seconds": Metric(
        "histogram", ("venue", "priority"), "Waiting for weight before a request.", _SECONDS
    ),
    "fleet_reports_total": Metric("counter", ("outcome",), "Batch summaries for Flower."),
    "fleet_cdc_transactions_total": Metric("counter", (), "Transactions appended."),
    "fleet_cdc_rewinds_total": Metric("counter", (), "The stream begun again behind a sink."),
    "fleet_cdc_disturbed_total": Metric("counter", ("what",), "Tries that ended, by what."),
    "fleet_cdc_rows_total": Metric("counter", ("sink",), "Rows that a sink wrote."),
    "fleet_cdc_quarantined_total": Metric("counter", ("sink",), "Rows that a sink refused."),
    "fleet_cdc_sink_gap": Metric("gauge", ("sink",), "1 while entries are missing."),
}

FLEET: Mapping[str, Metric] = {
    "fleet_lag_events": Metric("gauge", _PARTITION, "Entries behind the stream's end."),
    "fleet_lag_seconds": Metric("gauge", _PARTITION, "Age of the next entry not yet applied."),
    "fleet_partition_epoch": Metric("gauge", _PARTITION, "Epoch in the sink's database."),
    "fleet_partition_owned": Metric("gauge", _PARTITION, "1 while a living node owns it."),
    "fleet_partition_parked": Metric("gauge", _PARTITION, "Events parked and not settled."),
    "fleet_partition_halted": Metric("gauge", _PARTITION, "1 while our own breaker holds it."),
    "fleet_outbox_waiting": Metric("gauge", (), "Outbox rows not yet appended."),
    "fleet_outbox_unconfirmed": Metric("gauge", (), "Rows appended, not yet below the offset."),
    "fleet_outbox_oldest_seconds": Metric("gauge", (), "Age of the oldest row not yet appended."),
    "fleet_identity_breaks": Metric("gauge", (), "Open breaks of the books' own identities."),
    "fleet_breaks_open": Metric("gauge", ("kind",), "Open breaks."),
    "fleet_equity_copy_waiting": Metric("gauge", (), "Equity rows not yet in TimescaleDB."),
    "fleet_redis_used_bytes": Metric("gauge", (), "Memory of our streams."),
    "fleet_redis_budget_bytes": Metric("gauge", (), "What they may use; +Inf: no limit."),
    "fleet_laravel_queue_jobs": Metric("gauge", ("queue", "state"), "Jobs on Laravel's queues."),
    "fleet_laravel_quarantined": Metric("gauge", (), "Payloads that no worker can run."),
    "fleet_dispatches_waiting": Metric("gauge", (), "Jobs towards Laravel not yet pushed."),
    "fleet_dispatches_oldest_seconds": Metric("gauge", (), "Age of the oldest of them."),
    "fleet_queue_depth": Metric("gauge", ("queue",), "Messages waiting or unacknowledged."),
    "fleet_schedule_age_seconds": Metric("gauge", ("task",), "Since the last success."),
    "fleet_collect_seconds": Metric("gauge", (), "Time the last collection took."),
    "fleet_collect_success": Metric(
        "gauge", (), "1 if all was read of the servers that answer."
    ),
    "fleet_exchange_accounts": Metric(
        "gauge", ("venue", "egress", "tier", "state"), "Accounts at exchanges."
    ),
    "fleet_sync_failing": Metric(
        "gauge", ("venue", "egress", "tier"), "Active accounts whose last run ended early."
    ),
    "fleet_sync_overdue_seconds": Metric(
        "gauge", ("venue", "egress", "tier"), "The longest overdue turn."
    ),
    "fleet_sync_oldest_seconds": Metric(
        "gauge", ("venue", "egress", "tier"), "Since the oldest run that was answered whole."
    ),
    "fleet_cdc_lag_seconds": Metric("gauge", (), "How far the collector is behind the source."),
    "fleet_cdc_purge_seconds": Metric(
        "gauge", (), "Until the source purges what is not read yet; +Inf: it never does."
    ),
    "fleet_cdc_seq": Metric("gauge", (), "Last whole transaction in the change stream."),
    "fleet_cdc_epoch": Metric("gauge", (), "Epoch of the change stream."),
    "fleet_cdc_stream_entries": Metric("gauge", (), "Entries that some sink does not have yet."),
    "fleet_cdc_stream_bytes": Metric("gauge", (), "Memory of the change stream in Redis."),
    "fleet_cdc_stopped": Metric("gauge", ("reason",), "1 while the source cannot be followed."),
    "fleet_cdc_tables_stopped": Metric("gauge", (), "Tables whose rows are left out."),
    "fleet_cdc_sink_seq": Metric("gauge", ("sink",), "The last transaction a sink has."),
    "fleet_cdc_sink_lag_events": Metric("gauge", ("sink",), "Transactions behind the collector."),
    "fleet_cdc_sink_lag_seconds": Metric(
        "gauge", ("sink",),
        "Age of the oldest transaction that a sink has not written; 0: none; +Inf: unreadable.",
    ),
    "fleet_parked_open": Metric("gauge", ("stream", "reason"), "Events parked and not settled."),
    "fleet_accounts_incomplete": Metric("gauge", (), "Accounts whose books lack something."),
    "fleet_restating_positions": Metric("gauge", (), "Positions whose late fills wait."),
    "fleet_unreconciled_accounts": Metric("gauge", (), "Accounts that differ from the exchange."),
    "fleet_laravel_queue_oldest_seconds": Metric(
        "gauge", ("queue",), "Age of the job that waits longest on a queue of ours."
    ),
    "fleet_laravel_failed_jobs": Metric(
        "gauge", ("queue",), "Rows of failed_jobs of our queues in the last hour."
    ),
    "fleet_schedule_overdue_seconds": Metric(
        "gauge", ("task",), "Beyond its interval since the last success."
    ),
    "fleet_exchange_budget_used_ratio": Metric(
        "gauge", ("venue", "egress"), "Used part of what a venue allows this address."
    ),
    "fleet_exchange_paused_seconds": Metric(
        "gauge", ("venue", "egress"), "Until the venue may be asked again; 0: now."
    ),
    "fleet_streams_down": Metric("gauge", ("venue",), "User streams that are not there."),
    "fleet_stream_gaps_open": Metric("gauge", ("venue", "cause"), "Gaps not yet closed."),
    "fleet_cdc_owned": Metric("gauge", (), "1 while a collector has the lease."),
    "fleet_cdc_checkpoint_age_seconds": Metric("gauge", (), "Since the checkpoint was written."),
    "fleet_cdc_sink_silent_seconds": Metric("gauge", ("sink",), "Since a sink said something."),
    "fleet_cdc_quarantine_rows": Metric("gauge", ("sink",), "Rows refused and not replayed."),
    "fleet_redis_budget_used_ratio": Metric("gauge", (), "Used part of the streams' budget."),
    "fleet_redis_server_used_bytes": Metric("gauge", (), "Memory of the streams' whole Redis."),
    "fleet_redis_server_max_bytes": Metric("gauge", (), "Its maxmemory; +Inf: none."),
    "fleet_redis_durable": Metric("gauge", (), "1 while its last save and its AOF are well."),
    "fleet_server_up": Metric(
        "gauge", ("server",),
        "1 if it answered: mysql, redis, timescale; streams_redis, broker, audit if others.",
    ),
    "fleet_quality": Metric("gauge", ("check", "dimension"), "What a check of the data found."),
    "fleet_quality_objective": Metric("gauge", ("check", "dimension"), "What it should find."),
    "fleet_quality_met": Metric("gauge", ("check", "dimension"), "1 while it does."),
    "fleet_quality_age_seconds": Metric("gauge", ("check", "dimension"), "Since it was looked."),
}

METRICS: Mapping[str, Metric] = {**PROCESS, **FLEET}
