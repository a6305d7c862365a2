"""Exchanges: the scheduled sync, its budgets, and user streams."""

from deploy.grafana.panels import Board, Query, Row, figure, lines, quantile, rate, risen, total

_GROUP = ("venue", "egress", "tier")

BOARD = Board(
    "sync",
    "Tradefleet: exchanges",
    "How fresh each venue's accounts are, what fails, and what the venues allow.",
    (
        Row(
            "Is it fresh?",
            (
                figure("Overdue", "s", alert="FleetSyncOverdue"),
                figure("Accounts failing", "none", total("fleet_sync_failing", *_GROUP),
                       alert="FleetSyncFailing"),
                figure("Keys refused", "none",
                       total("fleet_exchange_accounts", *_GROUP, where='{state="suspended"}',
                             beside="fleet_exchange_accounts"),
                       alert="FleetAccountsSuspended"),
                figure("A venue is not asked for", "s", alert="FleetVenuePaused"),
                figure("User streams down", "none", total("fleet_streams_down", "venue"),
                       alert="FleetStreamsDown"),
                figure("Gaps open", "none",
                       total("fleet_stream_gaps_open", "venue", "cause",
                             beside="fleet_exchange_accounts")),
                lines("Overdue", "s", alert="FleetSyncOverdue"),
                lines("Since it was asked and answered whole", "s",
                      "max by (venue, tier) (fleet_sync_oldest_seconds)"),
                lines("Accounts failing", "none", alert="FleetSyncFailing"),
            ),
        ),
        Row(
            "Accounts",
            (
                lines("Accounts by state", "none",
                      "sum by (venue, state)"
                      " (max by (venue, egress, tier, state) (fleet_exchange_accounts))"),
                lines("Asked, by outcome", "cps", rate("fleet_sync_accounts_total", "outcome")),
                lines("Events that were found", "cps", rate("fleet_sync_events_total", "venue")),
            ),
        ),
        Row(
            "What the venues allow",
            (
                lines("Used part of the limits", "percentunit",
                      "max by (venue, egress) (fleet_exchange_budget_used_ratio)"),
                lines("Not asked for", "s", alert="FleetVenuePaused"),
                lines("Pauses asked for, in 5 minutes", "none",
                      risen("fleet_exchange_throttled_total", "venue", "egress")),
                lines("Requests", "reqps",
                      rate("fleet_exchange_requests_total", "venue", "outcome"), width=12),
                lines("Waiting for weight, p95", "s",
                      quantile(0.95, "fleet_exchange_wait_seconds", "venue", "priority"),
                      width=12),
            ),
        ),
        Row(
            "User streams",
            (
                lines("Up, and down", "none",
                      Query("sum by (venue) (fleet_streams_up)", "{{venue}} up"),
                      Query("max by (venue) (fleet_streams_down)", "{{venue}} down"),
                      alert="FleetStreamsDown"),
                lines("Events told", "cps", rate("fleet_stream_events_total", "venue")),
                lines("Gaps, in 5 minutes", "none",
                      risen("fleet_stream_gaps_total", "venue", "cause")),
                lines("Gaps not yet closed", "none",
                      "max by (venue, cause) (fleet_stream_gaps_open)", width=24),
            ),
        ),
    ),
)  # fmt: skip
