"""/metrics, /live and /ready of one process: small, threaded, on loopback unless told otherwise.
Who has pages of its own (the exporter) hands in a function that answers them.

Every process takes the next free port from FLEET_METRICS_PORT on; `FLEET_RUN_DIR`, set by
`workers.up`, is where it writes which one it got. Where that is set the first port is the
exporter's, so that Prometheus finds it; it tells of the others.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from shared import telemetry
from shared.errors import SettingsError

PORTS_TRIED = 200
EXPORTER = "metrics"


@dataclass(frozen=True)
class Probes:
    """What a process says of itself. Both are called from the server's threads: no blocking."""

    role: str
    live: Callable[[], bool]
    ready: Callable[[], bool]


class Asked(NamedTuple):
    """A GET of anything else. path: without what follows `?`. host: the client's Host header.
    peer: its address.
    """

    path: str
    host: str
    peer: str


class Answer(NamedTuple):
    """policy: its Content-Security-Policy."""

    body: bytes
    kind: str
    status: HTTPStatus = HTTPStatus.OK
    policy: str = "default-src 'none'"


Pages = Callable[[Asked], Answer | None]
_NOTHING = Answer(b"/metrics /live /ready\n", "text/plain", HTTPStatus.NOT_FOUND)
_PLAIN: Mapping[str, str] = {}


class HealthServer:
    """A running server; `port` is the one it got."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self.port = int(server.server_address[1])
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.2},
            name="fleet-http", daemon=True,
        )  # fmt: skip
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)


class _Threading(ThreadingHTTPServer):
    daemon_threads = True
    # Never take a port that another process of the fleet still answers on.
    allow_reuse_address = True  # only leaves TIME_WAIT behind; a listener keeps its port
    allow_reuse_port = False


def serve(
    first_port: int,
    probes: Probes,
    *,
    host: str | None = None,
    registry: Callable[[], CollectorRegistry] = lambda: telemetry.meter().registry,
    run_dir: str | None = None,
    pages: Pages = lambda _: None,
) -> HealthServer:
    """Starts the server on the first free port from `first_port` (0: any).

    host, run_dir: FLEET_METRICS_HOST (127.0.0.1) and FLEET_RUN_DIR unless given. pages: called
    from the server's threads; None: there is no such page.
    SettingsError: no port is free, or the host is not ours.
    """
    host = host or os.environ.get("FLEET_METRICS_HOST") or "127.0.0.1"
    run_dir = run_dir or os.environ.get("FLEET_RUN_DIR")
    if run_dir and first_port and probes.role != EXPORTER:
        first_port += 1
    server = _bind(host, first_port, _handler(probes, registry, pages))
    found = HealthServer(server)
    _write_port(run_dir, probes.role, found.port)
    return found


def _bind(host: str, first: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    last = min(first + PORTS_TRIED, 65_536)
    for port in range(first, last):
        try:
            return _Threading((host, port), handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(
                    f"cannot listen on {host}:{port} ({error.strerror}): set FLEET_METRICS_HOST "
                    "to an address of this machine and FLEET_METRICS_PORT to ports it may use"
                ) from error
    raise SettingsError(f"no free port from {first} to {last - 1}: set FLEET_METRICS_PORT")


def _write_port(run_dir: str | None, role: str, port: int) -> None:
    if run_dir and role:
        path = Path(run_dir) / f"{role}.{os.getpid()}.port"
        path.write_text(str(port), encoding="ascii")


def _handler(
    probes: Probes, registry: Callable[[], CollectorRegistry], pages: Pages
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "fleet"
        sys_version = ""
        timeout = 10  # a client that says nothing must not hold a thread

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(HTTPStatus.OK, generate_latest(registry()), CONTENT_TYPE_LATEST)
            elif path in {"/live", "/ready"}:
                self._probe(path, probes.live if path == "/live" else probes.ready)
            else:
                asked = Asked(path, self.headers.get("Host", ""), str(self.client_address[0]))
                self._page(pages(asked) or _NOTHING)

        do_HEAD = do_GET  # noqa: N815

        def _probe(self, path: str, probe: Callable[[], bool]) -> None:
            ok = bool(probe())
            status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
            body = {"role": probes.role, "pid": os.getpid(), path[1:]: ok}
            self._answer(status, json.dumps(body).encode(), "application/json")

        def _page(self, page: Answer) -> None:
            self._answer(page.status, page.body, page.kind, {
                "Content-Security-Policy": page.policy,
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
            })  # fmt: skip

        def _answer(
            self, status: HTTPStatus, body: bytes, kind: str, more: Mapping[str, str] = _PLAIN
        ) -> None:
            self.send_response(status)
            self.send_header("X-Content-Type-Options", "nosniff")
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Silent: a probe every few seconds is no news."""

    return Handler
