"""What the fleet says about itself: metrics, log lines, errors to Sentry.

Every metric is a row of METRICS, so a dashboard can be written from one page and a typo in a name
is an error instead of a second series. Nothing here opens a connection or reads the environment
when imported; a process calls `start()` once.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Literal, NamedTuple, TextIO

import orjson
import sentry_sdk
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.scrubber import DEFAULT_DENYLIST, EventScrubber

from shared.masking import SECRET_NAMES, Mask

# --- metrics ---------------------------------------------------------------------------------

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Metric(NamedTuple):
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


_PARTITION = ("consumer", "stream", "partition")

METRICS: Mapping[str, Metric] = {
    # each process, by what it did
    "fleet_batches_total": Metric("counter", ("stream", "outcome"), "Batches by outcome."),
    "fleet_events_total": Metric("counter", ("stream",), "Events applied."),
    "fleet_parked_total": Metric("counter", ("stream", "reason"), "Events parked."),
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
        "counter", ("queue", "job", "outcome"), "Runs of Laravel jobs by outcome."
    ),
    "fleet_laravel_job_seconds": Metric("histogram", ("queue",), "Run time of a job.", _SECONDS),
    "fleet_dispatches_total": Metric(
        "counter", ("job", "outcome"), "Jobs towards Laravel: recorded, or off."
    ),
    "fleet_dispatches_pushed_total": Metric("counter", (), "Jobs pushed to Laravel's queues."),
    "fleet_task_runs_total": Metric("counter", ("task", "outcome"), "Scheduled runs by outcome."),
    "fleet_task_seconds": Metric("histogram", ("task",), "Scheduled runs.", _SECONDS),
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
    "fleet_sync_accounts_total": Metric("counter", ("outcome",), "Accounts asked, by outcome."),
    "fleet_sync_events_total": Metric("counter", ("venue",), "Events that the sync found."),
    "fleet_streams_up": Metric("gauge", ("venue",), "User streams of this process that are up."),
    "fleet_stream_events_total": Metric("counter", ("venue",), "Events that user streams told."),
    "fleet_stream_gaps_total": Metric("counter", ("venue", "cause"), "Gaps of user streams."),
    "fleet_operator_jobs_total": Metric("counter", ("job", "outcome"), "RQ jobs by outcome."),
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
    "fleet_cdc_seq": Metric("gauge", (), "Last whole transaction in the change stream."),
    "fleet_cdc_epoch": Metric("gauge", (), "Epoch of the change stream."),
    "fleet_cdc_lag_seconds": Metric("gauge", (), "How far the collector is behind the source."),
    "fleet_cdc_stream_entries": Metric("gauge", (), "Entries that some sink does not have yet."),
    "fleet_cdc_stream_bytes": Metric("gauge", (), "Memory of the change stream in Redis."),
    "fleet_cdc_purge_seconds": Metric(
        "gauge", (), "Until the source purges what is not read yet; +Inf: it never does."
    ),
    "fleet_cdc_stopped": Metric("gauge", ("reason",), "1 while the source cannot be followed."),
    "fleet_cdc_tables_stopped": Metric("gauge", (), "Tables whose rows are left out."),
    "fleet_cdc_transactions_total": Metric("counter", (), "Transactions appended."),
    "fleet_cdc_rewinds_total": Metric("counter", (), "The stream begun again behind a sink."),
    "fleet_cdc_disturbed_total": Metric("counter", ("what",), "Tries that ended, by what."),
    "fleet_cdc_rows_total": Metric("counter", ("sink",), "Rows that a sink wrote."),
    "fleet_cdc_quarantined_total": Metric("counter", ("sink",), "Rows that a sink refused."),
    "fleet_cdc_sink_seq": Metric("gauge", ("sink",), "The last transaction a sink has."),
    "fleet_cdc_sink_lag_events": Metric("gauge", ("sink",), "Transactions behind the collector."),
    "fleet_cdc_sink_lag_seconds": Metric("gauge", ("sink",), "Age of the last one written."),
    "fleet_cdc_sink_gap": Metric("gauge", ("sink",), "1 while entries are missing."),
    # the exporter, of the whole fleet
    "fleet_lag_events": Metric("gauge", _PARTITION, "Entries behind the stream's end."),
    "fleet_lag_seconds": Metric("gauge", _PARTITION, "Age of the next entry not yet applied."),
    "fleet_partition_epoch": Metric("gauge", _PARTITION, "Epoch in the sink's database."),
    "fleet_partition_owned": Metric("gauge", _PARTITION, "1 while a node owns it."),
    "fleet_partition_parked": Metric("gauge", _PARTITION, "Events parked and not settled."),
    "fleet_partition_halted": Metric("gauge", _PARTITION, "1 while our own breaker holds it."),
    "fleet_outbox_waiting": Metric("gauge", (), "Outbox rows not yet appended."),
    "fleet_outbox_unconfirmed": Metric("gauge", (), "Rows appended, not yet below the offset."),
    "fleet_outbox_oldest_seconds": Metric("gauge", (), "Age of the oldest waiting row."),
    "fleet_identity_breaks": Metric("gauge", (), "Open breaks of the books' own identities."),
    "fleet_breaks_open": Metric("gauge", ("kind",), "Open breaks."),
    "fleet_equity_copy_waiting": Metric("gauge", (), "Equity rows not yet in TimescaleDB."),
    "fleet_redis_used_bytes": Metric("gauge", (), "Memory of our streams."),
    "fleet_redis_budget_bytes": Metric("gauge", (), "What they may use."),
    "fleet_laravel_queue_jobs": Metric("gauge", ("queue", "state"), "Jobs on Laravel's queues."),
    "fleet_laravel_quarantined": Metric("gauge", (), "Payloads that no worker can run."),
    "fleet_dispatches_waiting": Metric("gauge", (), "Jobs towards Laravel not yet pushed."),
    "fleet_dispatches_oldest_seconds": Metric("gauge", (), "Age of the oldest of them."),
    "fleet_queue_depth": Metric("gauge", ("queue",), "Messages waiting or unacknowledged."),
    "fleet_schedule_age_seconds": Metric("gauge", ("task",), "Since the last success."),
    "fleet_collect_seconds": Metric("gauge", (), "Time the last collection took."),
    "fleet_collect_success": Metric("gauge", (), "1 if the last collection succeeded."),
}


class Meter:
    """The declared metrics in one registry. Thread-safe (prometheus_client's own locks)."""

    def __init__(self, metrics: Mapping[str, Metric] = METRICS) -> None:
        self.registry = CollectorRegistry()
        self._series: dict[str, Any] = {
            name: self._declare(name, metric) for name, metric in metrics.items()
        }
        self._found: dict[tuple[object, ...], Any] = {}  # no more than there are series

    def _declare(self, name: str, metric: Metric) -> Any:
        if metric.kind == "histogram":
            return Histogram(
                name, metric.help, metric.labels, buckets=metric.buckets, registry=self.registry
            )
        kind = Counter if metric.kind == "counter" else Gauge
        return kind(name, metric.help, metric.labels, registry=self.registry)

    def _of(self, name: str, labels: Mapping[str, object]) -> Any:
        """KeyError: not in METRICS. ValueError: labels differ from the row's."""
        # prometheus_client takes three times as long to find the same child.
        key = (name, *labels.items())
        found = self._found.get(key)
        if found is None:
            series = self._series[name]
            found = self._found[key] = series.labels(**labels) if labels else series
        return found

    def count(self, name: str, amount: float = 1, **labels: object) -> None:
        self._of(name, labels).inc(amount)

    def gauge(self, name: str, value: float, **labels: object) -> None:
        self._of(name, labels).set(value)

    def observe(self, name: str, value: float, **labels: object) -> None:
        self._of(name, labels).observe(value)

    def clear(self, name: str) -> None:
        """Forgets a metric's labelled series, so that a partition gone does not stay for ever."""
        self._series[name].clear()
        self._found.clear()


class _Current:
    """The process' meter: the only global of this module, replaced in a forked child."""

    meter: Meter | None = None
    lock = threading.Lock()


def meter() -> Meter:
    found = _Current.meter
    if found is not None:
        return found
    with _Current.lock:
        if _Current.meter is None:
            _Current.meter = Meter()
        return _Current.meter


def after_fork() -> None:
    """A child must not inherit counts, nor a lock that a thread of its parent held at the fork."""
    _Current.lock = threading.Lock()
    _Current.meter = None


def count(name: str, amount: float = 1, **labels: object) -> None:
    meter().count(name, amount, **labels)


def gauge(name: str, value: float, **labels: object) -> None:
    meter().gauge(name, value, **labels)


def observe(name: str, value: float, **labels: object) -> None:
    meter().observe(name, value, **labels)


# --- logs ------------------------------------------------------------------------------------

# Attributes of a LogRecord: a field of such a name would raise inside logging.
_RECORD_FIELDS = frozenset(
    logging.LogRecord("", 0, "", 0, "", (), None).__dict__.keys() | {"message", "asctime"}
)
# Two lines per task, where our own `job` line says it all in one; failures still pass.
_SAID_BY_US = ("celery.worker.strategy", "celery.app.trace")
_LOGGING_KWARGS: tuple[str, ...] = ("exc_info", "stack_info", "stacklevel")


def _to_record(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """A structlog event as arguments of logging: the message stays text, so Sentry groups by it."""
    message = event.pop("event", "")
    kwargs: dict[str, Any] = {key: event.pop(key) for key in _LOGGING_KWARGS if key in event}
    extra = {f"{k}_" if k in _RECORD_FIELDS else k: v for k, v in event.items()}
    # A %-sign in a message must not be taken for formatting: args stay empty.
    return {"msg": str(message), "extra": extra, **kwargs}


def _json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure_logs(
    mask: Mask,
    *,
    role: str = "",
    style: Literal["json", "console"] = "json",
    level: str = "INFO",
    stream: TextIO | None = None,
) -> None:
    """One line per log record of any library on `stream` (stderr), masked. Safe to call again."""

    def masked(_logger: Any, _method: str, event: Any) -> Any:
        return mask.deep(dict(event))

    def with_role(_logger: Any, _method: str, event: Any) -> Any:
        return {"role": role, **event} if role else event

    fields: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        with_role,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_json)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=fields,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            masked,
            renderer,
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for chatty in _SAID_BY_US:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def log(name: str = "fleet") -> Any:
    """A structlog logger: `log(__name__).info("batch", stream="orders", events=500)`."""
    # Not by structlog.configure: unconfigured, structlog prints frame locals, which hold DSNs.
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            _to_record,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


# --- Sentry ----------------------------------------------------------------------------------


def start_sentry(
    dsn: str,
    mask: Mask,
    *,
    role: str = "",
    environment: str = "",
    with_rq: bool = False,
    transport: Callable[..., Any] | Any = None,
) -> None:
    """Sends errors with every secret masked; an empty `dsn` sends nothing.

    with_rq: only where RQ is used, after its key prefix is set (importing RQ fixes the prefix).
    transport: a sentry_sdk Transport for tests.
    """
    if not dsn:
        return

    def masked(event: Any, _hint: Any) -> Any:
        return mask.deep(event)

    integrations: list[Any] = [
        CeleryIntegration(monitor_beat_tasks=True),
        LoggingIntegration(level=logging.INFO, event_level=logging.ERROR),
    ]
    if with_rq:
        from sentry_sdk.integrations.rq import RqIntegration  # noqa: PLC0415 - imports RQ

        integrations.append(RqIntegration())
    sentry_sdk.init(
        dsn=dsn,
        environment=environment or None,
        integrations=integrations,
        # Auto-enabling would import RQ before its prefix is set, and add a span per Redis command.
        auto_enabling_integrations=False,
        # send_default_pii stays off: its default, and naming it is deprecated since 2.7x.
        include_local_variables=False,  # frame locals hold rows and DSNs
        event_scrubber=EventScrubber(
            denylist=[*DEFAULT_DENYLIST, *sorted(SECRET_NAMES)], recursive=True
        ),
        before_send=masked,
        before_send_transaction=masked,
        before_breadcrumb=masked,
        traces_sample_rate=0.0,
        transport=transport,
    )
    sentry_sdk.set_tag("role", role)


def start(
    mask: Mask,
    *,
    role: str,
    dsn: str = "",
    environment: str = "",
    with_rq: bool = False,
) -> None:
    """Logs and Sentry of a process, by FLEET_LOG_STYLE (json or console) and FLEET_LOG_LEVEL."""
    style: Literal["json", "console"] = (
        "console" if os.environ.get("FLEET_LOG_STYLE") == "console" else "json"
    )
    configure_logs(mask, role=role, style=style, level=os.environ.get("FLEET_LOG_LEVEL", "INFO"))
    start_sentry(dsn, mask, role=role, environment=environment, with_rq=with_rq)
