from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from shared import telemetry
from shared.masking import Mask
from shared.metrics import METRICS
from shared.telemetry import Meter, configure_logs, log, start_sentry

CANARY = "canary-7f3a9"
PLAIN = [f"plain-{number}" for number in range(5)]  # no literals: Sentry sends source lines


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """Log lines of a configured process; the old configuration comes back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logs(Mask([CANARY]), role="streams", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_metric_that_is_not_declared_is_an_error() -> None:
    with pytest.raises(KeyError):
        Meter().count("fleet_evnets_total", stream="orders")


def test_labels_other_than_the_declared_are_an_error() -> None:
    with pytest.raises(ValueError, match="label"):
        Meter().count("fleet_events_total", strem="orders")


@pytest.mark.parametrize("name", sorted(METRICS))
def test_metric_names_follow_the_conventions(name: str) -> None:
    metric = METRICS[name]
    assert name.startswith("fleet_")
    assert name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    assert bool(metric.buckets) == (metric.kind == "histogram")


def test_a_forked_child_starts_from_zero() -> None:
    telemetry.count("fleet_events_total", 3, stream="fork")
    before = telemetry.meter()
    telemetry.after_fork()
    assert telemetry.meter() is not before
    assert telemetry.meter().registry.get_sample_value(
        "fleet_events_total", {"stream": "fork"}
    ) is None  # fmt: skip


def test_one_json_line_per_batch(out: io.StringIO) -> None:
    log("workers.reporting").info("batch", stream="orders", partitions=[1], events=500)
    (line,) = lines(out)
    assert line["event"] == "batch"
    assert (line["stream"], line["partitions"], line["events"]) == ("orders", [1], 500)
    assert (line["role"], line["level"], line["logger"]) == ("streams", "info", "workers.reporting")
    assert line["at"].endswith("Z")


def test_lines_of_libraries_look_the_same_and_are_masked(out: io.StringIO) -> None:
    logging.getLogger("kombu").warning("no %s at %s", CANARY, f"redis://:{CANARY}@h")
    (line,) = lines(out)
    assert line["logger"] == "kombu"
    assert CANARY not in out.getvalue()


def test_exceptions_and_nested_values_are_masked(out: io.StringIO) -> None:
    try:
        int(f"refused for {CANARY}")
    except ValueError:
        log().error("failed", exc_info=True, rows=[{"note": CANARY}], password="other")
    assert CANARY not in out.getvalue()
    (line,) = lines(out)
    assert "ValueError" in line["exception"]
    assert line["password"] == "***"


def test_a_field_may_have_any_name(out: io.StringIO) -> None:
    log().info("job", name="recover", args=[1], module="x", message="100 %s")
    (line,) = lines(out)
    assert line["name_"] == "recover"
    assert line["message_"] == "100 %s"


def test_without_configuration_no_locals_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """By default structlog prints the locals of every frame."""
    dsn = f"redis://:{CANARY}@h"
    try:
        int(dsn[:5])
    except ValueError:
        log("unconfigured").error("failed", exc_info=True)
    assert CANARY not in "".join(capsys.readouterr())


class Collecting(Transport):
    """Keeps what would go to Sentry."""

    envelopes: list[str] = []  # noqa: RUF012 - one per test, see the fixture

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope.serialize().decode())


@pytest.fixture
def sentry() -> Iterator[list[str]]:
    Collecting.envelopes = []
    start_sentry(
        "https://public@sentry.invalid/1", Mask([CANARY]), role="streams", transport=Collecting
    )
    yield Collecting.envelopes
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def test_no_canary_reaches_sentry(sentry: list[str]) -> None:

    def fail(local_row: dict[str, str]) -> None:
        raise RuntimeError(f"lost {CANARY} {local_row}, api_secret={PLAIN[4]}")

    sentry_sdk.add_breadcrumb(message=f"connect {CANARY}", data={"dsn": PLAIN[0], "n": CANARY})
    sentry_sdk.set_extra("row", {"deep": [{"note": CANARY}]})
    sentry_sdk.set_tag("where", CANARY)
    sentry_sdk.set_context("batch", {"mysql_password": PLAIN[1], "url": f"redis://:{PLAIN[2]}@h/0"})
    logging.getLogger("kombu").error("cannot %s", CANARY, extra={"broker_url": PLAIN[3]})
    try:
        fail({"iban": CANARY})
    except RuntimeError as error:
        sentry_sdk.capture_exception(error)
    sent = "".join(sentry)
    assert len(sentry) == 2
    assert "RuntimeError" in sent
    for secret in (CANARY, *PLAIN):
        assert secret not in sent
    assert '"vars"' not in sent  # frame locals hold rows


def test_sentry_groups_log_lines_by_their_message(out: io.StringIO, sentry: list[str]) -> None:
    del out
    log("workers.lane").error("batch_failed", stream="orders", last_id="5-1")
    (sent,) = sentry
    event = json.loads(sent.splitlines()[-1])
    assert event["logentry"]["message"] == "batch_failed"
    assert event["extra"]["last_id"] == "5-1"


def test_without_a_dsn_nothing_is_sent() -> None:
    start_sentry("", Mask())
    assert not sentry_sdk.get_client().is_active()


def test_starting_sentry_imports_no_rq() -> None:
    """RQ fixes its key prefix when it is imported."""
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    code = (
        "import sys; from shared.telemetry import start_sentry; from shared.masking import Mask;"
        "start_sentry('https://p@s.invalid/1', Mask()); sys.exit('rq' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
