"""Every alert of the fleet, one row each; rules of Prometheus, the status page, `fleet status` and
the runbooks are written from this table, so they cannot disagree.

A condition names one metric of `shared.metrics`. What the exporter tells (FLEET) can be judged
here, too: `problems` does it for the page and for the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from shared.metrics import FLEET

Labels = Mapping[str, str]
Severity = Literal["page", "ticket"]
Plane = Literal["money", "streams", "laravel", "sync", "capture", "fleet"]


class Above(NamedTuple):
    """The metric is above the limit, for each set of the labels `by`."""

    metric: str
    limit: float
    by: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()


class Below(NamedTuple):
    """The metric is below the limit, for each set of the labels `by`."""

    metric: str
    limit: float
    by: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()


class Counted(NamedTuple):
    """The counter rose by more than the limit within so many minutes."""

    metric: str
    limit: float
    minutes: int
    by: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()


class Missing(NamedTuple):
    """Nobody tells the metric."""

    metric: str


Condition = Above | Below | Counted | Missing


class Alert(NamedTuple):
    """hold_seconds: how long the condition must hold; at most 30, so that an alert is out within a
    minute of its cause. what: one sentence, `{label}` and `{value}` filled in. do: where to begin.
    runbook: the file in deploy/runbooks; the section is the alert's name.
    """

    plane: Plane
    severity: Severity
    when: Condition
    hold_seconds: int
    what: str
    do: str

    @property
    def runbook(self) -> str:
        return f"{self.plane}.md"


class Sample(NamedTuple):
    metric: str
    labels: Labels
    value: float


class Problem(NamedTuple):
    """What is wrong now. labels: those of the alert's `by`."""

    name: str
    alert: Alert
    labels: Labels
    value: float

    @property
    def what(self) -> str:
        return self.alert.what.format(**self.labels, value=_short(self.value))

    @property
    def do(self) -> str:
        return self.alert.do.format(**self.labels, value=_short(self.value))


ALERTS: Mapping[str, Alert] = {
    # -- is the money right?
    "FleetBooksBroken": Alert(
        "money", "page", Above("fleet_identity_breaks", 0), 0,
        "{value} identities of the books do not hold",
        "fleet breaks list; then fleet rebuild --account N of the account it names",
    ),
    "FleetBreaksOpen": Alert(
        "money", "ticket", Above("fleet_breaks_open", 0, ("kind",)), 15,
        "{value} open breaks of kind {kind}", "fleet breaks list, fleet breaks show N",
    ),
    "FleetEventsParked": Alert(
        "money", "page", Above("fleet_parked_open", 0, ("stream", "reason")), 0,
        "{value} events of {stream} are parked: {reason}",
        "fleet parked list --stream {stream}; mend the cause, then fleet parked replay",
    ),
    "FleetQualityMissed": Alert(
        "money", "ticket", Below("fleet_quality_met", 1, ("check", "dimension")), 0,
        "the data misses its objective of {dimension}: {check}", "fleet quality",
    ),
    # -- streams: is anything stuck?
    "FleetPartitionUnowned": Alert(
        "streams", "page", Below("fleet_partition_owned", 1, ("stream",)), 20,
        "partitions of {stream} have no owner", "start the role streams",
    ),
    "FleetPartitionHalted": Alert(
        "streams", "page", Above("fleet_partition_halted", 0, ("stream", "partition")), 0,
        "partition {partition} of {stream} is halted: our own handler failed too often",
        "mend the handler, deploy, fleet parked resume",
    ),
    "FleetStreamLag": Alert(
        "streams", "page", Above("fleet_lag_seconds", 10, ("stream",)), 30,
        "{stream} is {value} s behind", "fleet status; more nodes of the role streams",
    ),
    "FleetOutboxOld": Alert(
        "streams", "page", Above("fleet_outbox_oldest_seconds", 15), 15,
        "a row of the outbox waits for {value} s", "is the role relay running, is Redis full?",
    ),
    "FleetBatchesFail": Alert(
        "streams", "ticket", Counted("fleet_batches_total", 0, 5, ("stream",),
                                     (("outcome", "failed"),)), 0,
        "batches of {stream} failed: {value} in 5 minutes", "fleet parked list; the streams' log",
    ),
    "FleetBatchesFenced": Alert(
        "streams", "ticket", Counted("fleet_fenced_total", 3, 5, ("stream",)), 0,
        "{value} batches of {stream} were fenced in 5 minutes: owners change too often",
        "look for nodes that sleep, swap or end",
    ),
    "FleetRedisLost": Alert(
        "streams", "page", Counted("fleet_redis_losses_total", 0, 10), 0,
        "Redis lost entries; rows of the outbox are sent again by themselves", "fleet recover",
    ),
    "FleetRedisBudget": Alert(
        "streams", "page", Above("fleet_redis_budget_used_ratio", 0.7), 15,
        "the streams use {value} of their budget in Redis", "fleet status: who is behind?",
    ),
    "FleetRedisNotDurable": Alert(
        "streams", "page", Below("fleet_redis_durable", 1), 15,
        "Redis cannot save what it holds", "its disk and its log: INFO persistence",
    ),
    # -- Laravel's queues
    "FleetLaravelQueueOld": Alert(
        "laravel", "page", Above("fleet_laravel_queue_oldest_seconds", 30, ("queue",)), 5,
        "a job waits for {value} s on {queue}", "php artisan fleet:doctor; start the role laravel",
    ),
    "FleetLaravelJobsFailing": Alert(
        "laravel", "ticket", Above("fleet_laravel_failed_jobs", 0, ("queue",)), 0,
        "{value} jobs of {queue} failed for good within the hour", "php artisan queue:failed",
    ),
    "FleetPayloadsQuarantined": Alert(
        "laravel", "ticket", Above("fleet_laravel_quarantined", 0), 0,
        "{value} payloads that no worker can read are set aside", "fleet laravel quarantine list",
    ),
    "FleetDispatchesOld": Alert(
        "laravel", "page", Above("fleet_dispatches_oldest_seconds", 15), 15,
        "a job towards Laravel waits for {value} s", "is the role relay running, is Redis full?",
    ),
    # -- exchanges: is it fresh?
    "FleetSyncOverdue": Alert(
        "sync", "page", Above("fleet_sync_overdue_seconds", 60, ("venue", "egress")), 15,
        "accounts at {venue} ({egress}) are {value} s overdue",
        "fleet sync; is the role sync running, is the budget used up?",
    ),
    "FleetSyncFailing": Alert(
        "sync", "ticket", Above("fleet_sync_failing", 0, ("venue", "egress")), 30,
        "{value} accounts at {venue} ({egress}) cannot be read", "fleet sync",
    ),
    "FleetAccountsSuspended": Alert(
        "sync", "ticket", Above("fleet_exchange_accounts", 0, ("venue",),
                                (("state", "suspended"),)), 0,
        "{value} accounts at {venue} are suspended: the exchange refuses their key",
        "fleet sync; the user stores another key in the application",
    ),
    "FleetVenuePaused": Alert(
        "sync", "ticket", Above("fleet_exchange_paused_seconds", 60, ("venue", "egress")), 0,
        "{venue} may not be asked by {egress} for {value} s",
        "fleet sync; who else uses this address?",
    ),
    "FleetStreamsDown": Alert(
        "sync", "ticket", Above("fleet_streams_down", 0, ("venue",)), 30,
        "{value} user streams at {venue} are down; the sync reads what they miss",
        "is the role userstreams running, and what does its log say?",
    ),
    # -- change capture
    "FleetCaptureStopped": Alert(
        "capture", "page", Above("fleet_cdc_stopped", 0, ("reason",)), 0,
        "the source's log cannot be followed: {reason}", "fleet cdc status says what cures it",
    ),
    "FleetCaptureUnowned": Alert(
        "capture", "page", Below("fleet_cdc_owned", 1), 20,
        "no collector runs", "start the role collector",
    ),
    "FleetCaptureLag": Alert(
        "capture", "page", Above("fleet_cdc_checkpoint_age_seconds", 20), 15,
        "the collector has written nothing for {value} s", "fleet cdc status; the collector's log",
    ),
    "FleetCaptureBehind": Alert(
        "capture", "ticket", Above("fleet_cdc_lag_seconds", 20), 15,
        "the collector is {value} s behind the source", "fleet cdc status; what does it wait for?",
    ),
    "FleetSinkSilent": Alert(
        "capture", "page", Above("fleet_cdc_sink_silent_seconds", 20, ("sink",)), 15,
        "the sink {sink} has said nothing for {value} s",
        "start its role; is its database there?",
    ),
    "FleetSinkBehind": Alert(
        "capture", "ticket", Above("fleet_cdc_sink_lag_seconds", 20, ("sink",)), 15,
        "the sink {sink} is {value} s behind", "fleet cdc status; look at its database",
    ),
    "FleetTablesStopped": Alert(
        "capture", "ticket", Above("fleet_cdc_tables_stopped", 0), 0,
        "rows of {value} tables are left out: a migration took something from them",
        "fleet cdc status; fleet cdc resync TABLE",
    ),
    "FleetRowsQuarantined": Alert(
        "capture", "ticket", Above("fleet_cdc_quarantine_rows", 0, ("sink",)), 0,
        "{value} rows were refused by {sink}", "fleet cdc quarantine list",
    ),
    "FleetPurgeNear": Alert(
        "capture", "page", Below("fleet_cdc_purge_seconds", 3600), 0,
        "MySQL purges what is not captured in {value} s",
        "let the collector and its sinks catch up, or raise binlog_expire_logs_seconds",
    ),
    "FleetEquityCopyWaits": Alert(
        "capture", "ticket", Above("fleet_equity_copy_waiting", 50_000), 30,
        "{value} rows of equity are not in TimescaleDB", "is TimescaleDB there? fleet doctor",
    ),
    # -- the fleet itself
    "FleetServerAway": Alert(
        "fleet", "page", Below("fleet_server_up", 1, ("server",)), 10,
        "{server} does not answer", "start it; fleet doctor",
    ),
    "FleetMetricsMissing": Alert(
        "fleet", "page", Missing("fleet_collect_success"), 20,
        "nobody tells how the fleet is", "start the role metrics",
    ),
    "FleetCollectFails": Alert(
        "fleet", "page", Below("fleet_collect_success", 1), 20,
        "the fleet's state cannot be read", "fleet doctor; the log of the role metrics",
    ),
    "FleetScheduleLate": Alert(
        "fleet", "page", Above("fleet_schedule_overdue_seconds", 30, ("task",)), 10,
        "{task} is {value} s overdue", "are the roles beat, jobs and sync running?",
    ),
    "FleetTasksWaiting": Alert(
        "fleet", "ticket", Above("fleet_queue_depth", 1000, ("queue",)), 30,
        "{value} messages wait on {queue}", "more nodes of the role that works on it",
    ),
    "FleetOperatorJobsFail": Alert(
        "fleet", "ticket", Counted("fleet_operator_jobs_total", 0, 15, ("job_name",),
                                   (("outcome", "failed"),)), 0,
        "the operator job {job_name} failed", "the log of the role rq says why; run it again",
    ),
}  # fmt: skip


def promql(condition: Condition) -> str:
    """The condition as Prometheus asks it; the largest (or smallest) of several processes."""
    if isinstance(condition, Missing):
        return f"absent({condition.metric})"
    selector = ",".join(f'{name}="{value}"' for name, value in condition.where)
    series = condition.metric + (f"{{{selector}}}" if selector else "")
    by = f" by ({', '.join(condition.by)})" if condition.by else ""
    limit = f"{condition.limit:.15g}"
    if isinstance(condition, Counted):
        window = f"{condition.minutes}m"
        # `increase` stretches what it saw to the whole window, hence `round`. It does not see the
        # first count of a series, because there is no sample before it: what is new counts whole,
        # if the fleet was looked at when it was not there.
        return (
            f"round(sum{by} (increase({series}[{window}]))) > {limit}\n"
            f"or\n"
            f"sum{by} ({series} unless {series} offset {window}) > {limit}\n"
            f"and on () fleet_collect_success offset {window}"
        )
    if isinstance(condition, Above):
        return f"max{by} ({series}) > {limit}"
    return f"min{by} ({series}) < {limit}"


def problems(samples: Iterable[Sample], alerts: Mapping[str, Alert] = ALERTS) -> list[Problem]:
    """What the exporter's own samples show as wrong now, pages first; hold times are not waited
    for. Counters of other processes are Prometheus' to judge.
    """
    by_metric: dict[str, list[Sample]] = {}
    for sample in samples:
        by_metric.setdefault(sample.metric, []).append(sample)
    found = [
        Problem(name, alert, dict(labels), value)
        for name, alert in alerts.items()
        if isinstance(alert.when, Above | Below) and alert.when.metric in FLEET
        for labels, value in _worst(alert.when, by_metric.get(alert.when.metric, ())).items()
    ]
    return sorted(found, key=lambda problem: problem.alert.severity != "page")


def _worst(
    condition: Above | Below, samples: Iterable[Sample]
) -> dict[tuple[tuple[str, str], ...], float]:
    """Per set of labels, the worst value that is beyond the limit."""
    above = isinstance(condition, Above)
    found: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        if any(sample.labels.get(name) != value for name, value in condition.where):
            continue
        value = sample.value
        if not (value > condition.limit if above else value < condition.limit):
            continue
        labels = tuple((name, sample.labels[name]) for name in condition.by)
        worst = max if above else min
        found[labels] = worst(found.get(labels, value), value)
    return found


def _short(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.2f}"
