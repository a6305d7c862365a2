"""A Sentry of one test: it takes envelopes and keeps what they say."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class SentrySink:
    """headers, items: of each envelope. unread: what came in a way that we cannot read."""

    def __init__(self) -> None:
        self.headers: list[bytes] = []
        self.items: list[bytes] = []
        self.unread: list[str] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.take(body, self.headers.get("Content-Encoding", ""))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])

    def take(self, body: bytes, encoding: str) -> None:
        if encoding not in {"", "gzip"}:
            self.unread.append(encoding)
            return
        text = gzip.decompress(body) if encoding else body
        header, _, items = text.partition(b"\n")
        self.headers.append(header)
        self.items.append(items)

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def sentry_sink() -> Iterator[SentrySink]:
    found = SentrySink()
    found.start()
    try:
        yield found
    finally:
        found.stop()
