"""Is the money right, is it fresh, is anything stuck? In that order, and nothing else."""

from typing import Literal

from deploy.grafana.panels import (
    Board,
    Limit,
    Panel,
    Row,
    below_one,
    figure,
    firing,
    lines,
    rate,
    total,
)

_FIRING = 'ALERTS{alertname=~"Fleet.+", alertstate="firing"'
_PARTITION = ("consumer", "stream", "partition")


def _alerts(title: str, severity: Literal["page", "ticket"]) -> Panel:
    asks = f'count({_FIRING}, severity="{severity}"}}) or 0 * max(fleet_collect_success)'
    limit = Limit(0, below=False, severity=severity)
    about = {"page": "Somebody gets up.", "ticket": "It waits for the morning."}[severity]
    return figure(title, "none", asks, about=about)._replace(limit=limit, height=8)


BOARD = Board(
    "overview",
    "Tradefleet: overview",
    "Read it from the top: each figure leads to the dashboard of its plane.",
    (
        Row(
            "What is wrong now",
            (_alerts("Pages", "page"), _alerts("Tickets", "ticket"), firing()),
        ),
        Row(
            "Is the money right?",
            (
                figure("Identities broken", "none", alert="FleetBooksBroken"),
                figure(
                    "Events parked", "none",
                    total("fleet_parked_open", "stream", "reason",
                          beside="fleet_identity_breaks"),
                    alert="FleetEventsParked",
                ),
                figure(
                    "Breaks open", "none",
                    total("fleet_breaks_open", "kind", beside="fleet_identity_breaks"),
                    alert="FleetBreaksOpen",
                ),
                figure(
                    "Data checks missed", "none",
                    below_one("fleet_quality_met", "check", "dimension"),
                    alert="FleetQualityMissed",
                ),
                figure(
                    "Accounts incomplete", "none", "max(fleet_accounts_incomplete)", plane="money"
                ),
                figure(
                    "Differ from the exchange", "none", "max(fleet_unreconciled_accounts)",
                    plane="money",
                ),
            ),
        ),
        Row(
            "Is it fresh?",
            (
                figure("Streams behind", "s", alert="FleetStreamLag"),
                figure("Oldest row of the outbox", "s", alert="FleetOutboxOld"),
                figure("Exchanges overdue", "s", alert="FleetSyncOverdue"),
                figure("Oldest job from Laravel", "s", alert="FleetLaravelQueueOld"),
                figure("Oldest job towards Laravel", "s", alert="FleetDispatchesOld"),
                figure("Collector silent", "s", alert="FleetCaptureLag"),
                lines("Streams behind", "s", alert="FleetStreamLag"),
                lines(
                    "Since an exchange was asked", "s",
                    "max by (venue, tier) (fleet_sync_oldest_seconds)",
                ),
                lines("Sinks behind", "s", alert="FleetSinkBehind"),
            ),
        ),
        Row(
            "Is anything stuck?",
            (
                figure(
                    "Servers away", "none", below_one("fleet_server_up", "server"),
                    alert="FleetServerAway",
                ),
                figure(
                    "Partitions without owner", "none",
                    below_one("fleet_partition_owned", *_PARTITION),
                    alert="FleetPartitionUnowned",
                ),
                figure(
                    "Partitions halted", "none", total("fleet_partition_halted", *_PARTITION),
                    alert="FleetPartitionHalted",
                ),
                figure(
                    "Capture stopped", "none",
                    total("fleet_cdc_stopped", "reason", beside="fleet_cdc_seq"),
                    alert="FleetCaptureStopped",
                ),
                figure("Tables left out", "none", alert="FleetTablesStopped"),
                figure("A task's delay", "s", alert="FleetScheduleLate"),
                figure("Streams' memory", "percentunit", alert="FleetRedisBudget"),
                figure("Redis saves", "bool_yes_no", alert="FleetRedisNotDurable"),
                figure("Sink silent", "s", alert="FleetSinkSilent"),
                figure(
                    "Jobs failed within the hour", "none",
                    total("fleet_laravel_failed_jobs", "queue"),
                    alert="FleetLaravelJobsFailing",
                ),
                figure(
                    "Accounts failing", "none",
                    total("fleet_sync_failing", "venue", "egress", "tier"),
                    alert="FleetSyncFailing",
                ),
                figure(
                    "Keys refused", "none",
                    total("fleet_exchange_accounts", "venue", "egress", "tier",
                          where='{state="suspended"}', beside="fleet_exchange_accounts"),
                    alert="FleetAccountsSuspended",
                ),
            ),
        ),
        Row(
            "What flows",
            (
                lines("Events applied", "cps", rate("fleet_events_total", "stream")),
                lines("Jobs from Laravel", "cps", rate("fleet_laravel_jobs_total", "outcome")),
                lines("Rows written by sinks", "cps", rate("fleet_cdc_rows_total", "sink")),
            ),
        ),
    ),
)  # fmt: skip
