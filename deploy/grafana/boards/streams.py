"""Stream workers, outbox and relay, and the Redis that they stand on."""

from deploy.grafana.panels import (
    Board,
    Query,
    Row,
    below_one,
    figure,
    lines,
    quantile,
    rate,
    risen,
    table,
    total,
)

_PARTITION = ("consumer", "stream", "partition")
_OF = "by (consumer, stream, partition)"
_WORST = f"topk(10, max {_OF} (fleet_lag_events))"


def _of_the_worst(asks: str) -> str:
    return f"{asks} and on (consumer, stream, partition) {_WORST}"


BOARD = Board(
    "streams",
    "Tradefleet: streams",
    "From the outbox over Redis into the books.",
    (
        Row(
            "Is anything stuck?",
            (
                figure("Partitions without owner", "none",
                       below_one("fleet_partition_owned", *_PARTITION),
                       alert="FleetPartitionUnowned"),
                figure("Partitions halted", "none", total("fleet_partition_halted", *_PARTITION),
                       alert="FleetPartitionHalted"),
                figure("Behind", "s", alert="FleetStreamLag"),
                figure("Oldest row of the outbox", "s", alert="FleetOutboxOld"),
                figure("Streams' memory", "percentunit", alert="FleetRedisBudget"),
                figure("Redis saves", "bool_yes_no", alert="FleetRedisNotDurable"),
                lines("Behind, in seconds", "s", alert="FleetStreamLag"),
                lines("Behind, in events", "none",
                      "sum by (consumer, stream)"
                      f" (max {_OF} (fleet_lag_events))"),
                table("The partitions that are behind most", "none",
                      Query(_WORST, "behind"),
                      Query(_of_the_worst(f"max {_OF} (fleet_lag_seconds)"), "seconds"),
                      Query(_of_the_worst(f"max {_OF} (fleet_partition_parked)"), "parked"),
                      Query(_of_the_worst(f"min {_OF} (fleet_partition_owned)"), "owned"),
                      Query(_of_the_worst(f"max {_OF} (fleet_partition_epoch)"), "epoch"),
                      width=8),
            ),
        ),
        Row(
            "Batches",
            (
                lines("Events applied", "cps", rate("fleet_events_total", "stream")),
                lines("Batches by outcome", "cps",
                      rate("fleet_batches_total", "stream", "outcome")),
                lines("Batches that failed, in 5 minutes", "none", alert="FleetBatchesFail"),
                lines("Read to commit", "s",
                      Query(quantile(0.5, "fleet_batch_seconds", "stream"), "{{stream}} p50"),
                      Query(quantile(0.95, "fleet_batch_seconds", "stream"), "{{stream}} p95"),
                      width=12),
                lines("Events in a batch, p50", "none",
                      quantile(0.5, "fleet_batch_events", "stream"), width=12),
                lines("Events parked, in 5 minutes", "none",
                      risen("fleet_parked_total", "stream", "reason"), width=12),
                lines("Failures of our handlers, in 5 minutes", "none",
                      risen("fleet_handler_failures_total", "stream", "type"), width=12),
            ),
        ),
        Row(
            "Owners",
            (
                lines("Fenced, in 5 minutes", "none", alert="FleetBatchesFenced"),
                lines("Taken over, in 5 minutes", "none",
                      risen("fleet_takeovers_total", "stream")),
                lines("Losses of Redis, in 10 minutes", "none",
                      risen("fleet_redis_losses_total", "stream", minutes=10),
                      alert="FleetRedisLost"),
            ),
        ),
        Row(
            "Outbox and relay",
            (
                lines("Rows of the outbox", "none",
                      Query("max(fleet_outbox_waiting)", "wait"),
                      Query("max(fleet_outbox_unconfirmed)", "appended, not confirmed")),
                lines("Rows appended", "cps", rate("fleet_relay_appended_total", "stream")),
                lines("Rows sent again, in 5 minutes", "none",
                      risen("fleet_relay_resent_total", "cause")),
            ),
        ),
        Row(
            "Redis",
            (
                lines("Streams", "bytes",
                      Query("max(fleet_redis_used_bytes)", "used"),
                      Query("max(fleet_redis_budget_bytes) < +Inf", "budget"), width=12),
                lines("The whole server", "bytes",
                      Query("max(fleet_redis_server_used_bytes)", "used"),
                      Query("max(fleet_redis_server_max_bytes) < +Inf", "maxmemory"), width=12),
            ),
        ),
    ),
)  # fmt: skip
