"""The sinks of the change stream, a row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.settings import Settings
from workers.cdc.audit import NAME as AUDIT
from workers.cdc.audit import audit_sink
from workers.cdc.history import NAME as TIMESCALE
from workers.cdc.history import history_sink
from workers.cdc.sink import Sink

SINKS: Mapping[str, Callable[[Settings], Sink]] = {
    AUDIT: audit_sink,
    TIMESCALE: history_sink,
}


def configured(settings: Settings) -> tuple[str, ...]:
    """Those that this fleet has; the collector keeps entries until all of them have read them."""
    return (AUDIT, TIMESCALE) if settings.timescale_url is not None else (AUDIT,)
