"""A Redis connection on which scripts are called without waiting for each reply.

Redis answers in order, so a caller may go on while Redis works and read the replies later: the
round trip of a job's end is hidden behind the work of the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import NoScriptError

from shared.laravel.scripts import script

if TYPE_CHECKING:
    from redis import Redis


class Call(NamedTuple):
    """One call of a script, or of a command of Redis' own (in capitals)."""

    name: str
    keys: Sequence[str]
    words: Sequence[Any]


class Line:
    """For one thread. After any error of it the connection is closed, and its calls may or may not
    have happened.
    """

    def __init__(self, redis: Redis, names: Sequence[str]) -> None:
        self._redis = redis
        self._texts = {name: script(name) for name in names}
        self._shas = self._load()
        self._connection: Any = redis.connection_pool.get_connection()
        self._added: list[Call] = []
        self._sent: list[Call] = []

    def add(self, call: Call) -> None:
        """It goes out with the next `send` or `replies`."""
        self._added.append(call)

    def send(self) -> None:
        """In one packet. Raises RedisError."""
        added, self._added = self._added, []
        if not added:
            return
        connection = self._connection
        try:
            packed = connection.pack_commands([self._command(call) for call in added])
            connection.send_packed_command(packed)
        except BaseException:
            self.close()
            raise
        self._sent += added

    def replies(self) -> list[tuple[Call, Any]]:
        """Send, and wait for each call's reply since the last time. Raises RedisError."""
        self.send()
        sent, self._sent = self._sent, []
        try:
            found = [self._reply(call) for call in sent]
            # Not before all are read: one left over would be taken for the reply to the next call.
            return [(call, self._again(call) if lost else reply) for call, reply, lost in found]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._added, self._sent = [], []
        self._connection.disconnect()

    def _reply(self, call: Call) -> tuple[Call, Any, bool]:
        try:
            return call, self._connection.read_response(), False
        except NoScriptError:
            return call, None, True

    def _again(self, call: Call) -> Any:
        """SCRIPT FLUSH, or another Redis: the call did nothing."""
        self._shas = self._load()
        self._connection.send_command(*self._command(call))
        return self._connection.read_response()

    def _command(self, call: Call) -> tuple[Any, ...]:
        sha = self._shas.get(call.name)
        if sha is None:
            return (call.name, *call.keys, *call.words)
        return ("EVALSHA", sha, len(call.keys), *call.keys, *call.words)

    def _load(self) -> Mapping[str, str]:
        return {name: str(self._redis.script_load(text)) for name, text in self._texts.items()}
