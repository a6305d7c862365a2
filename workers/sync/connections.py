"""A connection to MySQL per thread, kept from batch to batch: to open one costs as much as a batch
of ten accounts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import MySQLdb

from workers.links import mysql_errors

IDLE_SECONDS = 30.0
"""Then it is opened anew: who knows what a server, or a proxy before it, does with idle ones."""


class Connections(threading.local):
    """`with connections() as connection:`. One whose work failed is closed. Errors of MySQL that
    may pass come out as Unavailable.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._kept: Any = None
        self._used_at = 0.0

    @contextmanager
    def __call__(self) -> Iterator[Any]:
        connection, self._kept = self._kept, None
        if connection is not None and time.monotonic() - self._used_at > IDLE_SECONDS:
            _close(connection)
            connection = None
        if connection is None:
            connection = self._connect()
        try:
            with mysql_errors():
                yield connection
        except BaseException:
            _close(connection)
            raise
        self._kept, self._used_at = connection, time.monotonic()

    def close(self) -> None:
        """The one of the calling thread."""
        if self._kept is not None:
            connection, self._kept = self._kept, None
            _close(connection)


def _close(connection: Any) -> None:
    with suppress(MySQLdb.Error):
        connection.close()
