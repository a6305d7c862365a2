"""What the fleet says about itself: metrics, log lines, errors to Sentry.

Metrics are the rows PROCESS of `shared.metrics`; those of FLEET are the exporter's
(workers/exposure). Nothing here opens a connection or reads the environment
when imported; a process calls `start()` once.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Literal, TextIO

import orjson
import sentry_sdk
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.scrubber import DEFAULT_DENYLIST, EventScrubber

from shared.masking import SECRET_NAMES, Mask
from shared.metrics import PROCESS, Metric

# --- metrics ---------------------------------------------------------------------------------

class Meter:
    """A process' own metrics in one registry. Thread-safe (prometheus_client's own locks)."""

    def __init__(self, metrics: Mapping[str, Metric] = PROCESS) -> None:
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
        """KeyError: not in PROCESS. ValueError: labels differ from the row's."""
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
            ProcessCollector(registry=_Current.meter.registry)  # memory, processor, open files
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
