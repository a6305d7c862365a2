"""Change capture: the collector, its stream, and both sinks."""

from deploy.grafana.panels import (
    Board,
    Query,
    Row,
    figure,
    history,
    lines,
    rate,
    risen,
    total,
)

_CHANGES = """
SELECT hour AS time, table_name AS metric, SUM(changes)::float8 AS value
FROM fleet.changes_hourly
WHERE hour >= $__timeFrom()::timestamptz AND hour <= $__timeTo()::timestamptz
GROUP BY hour, table_name
ORDER BY hour, table_name
"""

BOARD = Board(
    "capture",
    "Tradefleet: change capture",
    "From MySQL's log into the audit log and TimescaleDB.",
    (
        Row(
            "Is anything stuck?",
            (
                figure("Stopped", "none",
                       total("fleet_cdc_stopped", "reason", beside="fleet_cdc_seq"),
                       alert="FleetCaptureStopped"),
                figure("A collector runs", "bool_yes_no", alert="FleetCaptureUnowned"),
                figure("Collector silent", "s", alert="FleetCaptureLag"),
                figure("Until the source purges", "s", alert="FleetPurgeNear"),
                figure("Tables left out", "none", alert="FleetTablesStopped"),
                figure("Rows refused", "none", total("fleet_cdc_quarantine_rows", "sink"),
                       alert="FleetRowsQuarantined"),
            ),
        ),
        Row(
            "Collector",
            (
                lines("Behind the source", "s", Query("max(fleet_cdc_lag_seconds)", "collector"),
                      alert="FleetCaptureBehind"),
                lines("Since the checkpoint", "s",
                      Query("max(fleet_cdc_checkpoint_age_seconds)", "checkpoint"),
                      alert="FleetCaptureLag"),
                lines("Transactions appended", "cps",
                      Query(rate("fleet_cdc_transactions_total"), "transactions")),
                lines("Number and epoch", "none",
                      Query("max(fleet_cdc_seq)", "transaction"),
                      Query("max(fleet_cdc_epoch)", "epoch")),
                lines("Tries that ended, in 5 minutes", "none",
                      risen("fleet_cdc_disturbed_total", "what")),
                lines("Begun again behind a sink, in 5 minutes", "none",
                      Query(risen("fleet_cdc_rewinds_total"), "rewinds")),
            ),
        ),
        Row(
            "The change stream",
            (
                lines("Entries that some sink lacks", "none",
                      Query("max(fleet_cdc_stream_entries)", "entries"), width=12),
                lines("Memory in Redis", "bytes",
                      Query("max(fleet_cdc_stream_bytes)", "stream"), width=12),
            ),
        ),
        Row(
            "Sinks",
            (
                lines("Behind", "s", alert="FleetSinkBehind"),
                lines("Transactions behind", "none",
                      "max by (sink) (fleet_cdc_sink_lag_events)"),
                lines("Silent", "s", alert="FleetSinkSilent"),
                lines("The last transaction", "none", "max by (sink) (fleet_cdc_sink_seq)"),
                lines("Rows written", "cps", rate("fleet_cdc_rows_total", "sink")),
                lines("Entries are missing", "bool_yes_no",
                      "max by (sink) (fleet_cdc_sink_gap)"),
                lines("Rows refused and not replayed", "none", alert="FleetRowsQuarantined"),
                lines("Rows refused, in 5 minutes", "none",
                      risen("fleet_cdc_quarantined_total", "sink")),
                lines("Equity not yet copied", "none",
                      Query("max(fleet_equity_copy_waiting)", "rows"),
                      alert="FleetEquityCopyWaits"),
            ),
        ),
        Row(
            "What changed (TimescaleDB)",
            (
                history("Changes by hour and table", "none", _CHANGES, draws="bars", width=24,
                        about="Rows created, updated and deleted, as TimescaleDB has them."),
            ),
        ),
    ),
)  # fmt: skip
