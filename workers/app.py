"""The Celery application: `celery -A workers.app ...`. The one module that acts when imported.

It reads the environment, starts logs and Sentry, and builds the app of this process' role. Tests
and other programs use `workers.wiring.make_app`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from celery import signals

from shared import telemetry
from shared.masking import Mask
from shared.settings import Settings
from workers.batch_report import tell
from workers.config import refuse_overrides
from workers.drain import Gate
from workers.flower import set_password
from workers.reader_step import Reader
from workers.reporting import Report, masked
from workers.roles import current, settings_or_end
from workers.wiring import make_app

_role = current()
refuse_overrides(os.environ)
_settings: Settings = settings_or_end(_role)
_gate = Gate()


def _start_logs(**_: object) -> None:
    """Connected to `setup_logging`, so Celery leaves the root logger to us."""
    telemetry.start(
        Mask.of(_settings),
        role=_role,
        dsn=_settings.sentry_dsn.get_secret_value() if _settings.sentry_dsn else "",
        environment=_settings.app_env,
    )


def _make_reader(node: str, report: Callable[[Report], None]) -> Reader:
    report = masked(Mask.of(_settings), report)
    # Imported where they are needed: each role has drivers of its own.
    resting = _gate.is_closed
    if _role == "laravel":
        from workers.laravel.build import build_worker  # noqa: PLC0415

        return build_worker(_settings, node, report, resting=resting)
    if _role == "userstreams":
        from workers.userstreams_build import build_userstreams  # noqa: PLC0415

        return build_userstreams(_settings, report, resting=resting)
    from workers.build import build_reader  # noqa: PLC0415

    return build_reader(_settings, node, partial(tell, report), resting=resting)


if _role == "flower":
    set_password(os.environ)
signals.setup_logging.connect(_start_logs, weak=False)
_start_logs()
app = make_app(_settings, _role, _make_reader, _gate)
