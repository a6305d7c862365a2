"""What the exporter answers beside /metrics: the status page, its JSON, runbooks, targets."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from workers.http import Answer, Asked
from workers.page import html, runbooks, targets
from workers.page.look import Exports, LastErrors, look
from workers.page.picture import as_json

_HTML, _JSON = "text/html; charset=utf-8", "application/json"
_REFUSED = Answer(
    b"the status page answers this machine only (a tunnel, kubectl port-forward); "
    b"FLEET_STATUS_OPEN=1 opens it to whoever reaches this port\n",
    "text/plain",
    HTTPStatus.FORBIDDEN,
)


class Site:
    """Called from the server's threads."""

    def __init__(
        self,
        exporter: Exports,
        errors: LastErrors,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._exporter = exporter
        self._errors = errors
        self._clock = clock

    def answer(self, asked: Asked) -> Answer | None:
        if asked.path == "/targets":
            return _targets(asked)
        page = self._page(asked.path)
        return _REFUSED if page is not None and not _may_look(asked) else page

    def _page(self, path: str) -> Answer | None:
        if path == "/":
            now = self._clock()
            return _html(html.status_page(look(self._exporter, self._errors, now), now))
        if path == "/status.json":
            now = self._clock()
            told = as_json(look(self._exporter, self._errors, now), now)
            return Answer(json.dumps(told).encode(), _JSON)
        if path == "/runbooks":
            return _html(html.document("Runbooks", runbooks.index(), refresh=False))
        if path.startswith("/runbooks/"):
            name = path.removeprefix("/runbooks/")
            body = runbooks.page(name)
            page = html.document(f"Runbook: {name}", body, refresh=False) if body else None
            return _html(page) if page else None
        return None


def _html(page: bytes) -> Answer:
    return Answer(page, _HTML, policy=html.POLICY)


def _may_look(asked: Asked) -> bool:
    """Whoever is on this machine, by a name of this machine: another website's page in a browser
    here must not read ours under a name that it points at us.
    """
    if os.environ.get("FLEET_STATUS_OPEN") == "1":
        return True
    name = asked.host.rsplit(":", 1)[0] if not asked.host.endswith("]") else asked.host
    return _is_loopback(asked.peer) and (name == "localhost" or _is_loopback(name.strip("[]")))


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def _targets(asked: Asked) -> Answer:
    run_dir = os.environ.get("FLEET_RUN_DIR")
    found = targets.living(Path(run_dir)) if run_dir else iter(())
    host = os.environ.get("FLEET_METRICS_HOST") or "127.0.0.1"
    return Answer(targets.as_json(found, host, asked.host), _JSON)
