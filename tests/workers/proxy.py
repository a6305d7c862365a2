"""A TCP proxy in front of a server, which can be cut and joined again."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.workers.fleet_env import free_port


class Proxy:
    """`port` forwards to the target while it is up. Cut: connections break and new ones fail."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.port = free_port()
        self._open: list[socket.socket] = []
        self._bound = self._bind()
        self._listening = False
        self.join()

    def join(self) -> None:
        self._bound.listen()
        self._listening = True
        threading.Thread(target=self._accept, args=(self._bound,), daemon=True).start()

    def cut(self) -> None:
        if self._listening:
            with suppress(OSError):
                self._bound.shutdown(socket.SHUT_RDWR)  # wakes accept()
            self._bound.close()
            # The port stays taken, or a client that tries again may connect from that very port.
            self._bound, self._listening = self._bind(), False
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def close(self) -> None:
        self.cut()
        self._bound.close()

    def _bind(self) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", self.port))
        return bound

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
