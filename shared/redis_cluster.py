"""A Redis Cluster behind the same calls as one server.

redis-py knows the cluster: which node has a key's slot, and where a key went. What it does not do
as we need it is here. Its pipeline sends again, one by one, what a dead node did not answer: a
thousand appends would then wait for a thousand timeouts. And no command may name keys of two slots,
so reading many streams is one command for each, all of a node in one round trip.

`masters`, `node_of` and `ask` take a client of one server as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from redis.backoff import NoBackoff
from redis.client import Redis
from redis.cluster import ClusterNode, RedisCluster
from redis.commands.core import CoreCommands
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry

if TYPE_CHECKING:
    from shared.endpoints import Address

_SCRIPTS = frozenset({"EVAL", "EVALSHA"})
_ELSEWHERE = (MovedError, AskError, TryAgainError)

Words: TypeAlias = Sequence[Any]
"""A command and its arguments, as they go to the server."""


class ClusterClient(RedisCluster):
    """Errors are RedisErrors only. Nothing is sent twice, but where a node says that a key is
    another one's: then it has done nothing.
    """

    def __init__(self, nodes: Iterable[Address], **options: Any) -> None:
        try:
            super().__init__(
                startup_nodes=[_node(host, port) for host, port in nodes],
                retry=Retry(NoBackoff(), 0),
                # What stands on the other nodes goes on while slots of one are nobody's.
                require_full_coverage=False,
                **options,
            )
        except RedisClusterException as error:
            raise ClusterDownError(str(error)) from error

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except RedisClusterException as error:
            raise ClusterDownError(str(error)) from error

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        if transaction or shard_hint:
            raise ValueError("a transaction over several slots is not possible in a cluster")
        return ClusterPipe(self)

    def time(self, **options: Any) -> Any:
        """The clock of one node: who asks wants to know the time."""
        del options
        return masters(self)[0].time()  # type: ignore[arg-type]

    def by_node(self, keys: Sequence[Any]) -> dict[str, list[int]]:
        """Name of a node -> places in `keys` of what it has."""
        found: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            found.setdefault(self.node(key).name, []).append(place)
        return found

    def node(self, key: Any) -> ClusterNode:
        """Which node has the key, as far as we know."""
        try:
            found: ClusterNode = self.get_node_from_key(key)  # type: ignore[no-untyped-call]
        except RedisClusterException as error:
            self.refresh()
            raise ClusterDownError(str(error)) from error
        return found

    def at(self, node: ClusterNode | str) -> Redis:
        """A client of one node alone."""
        known: Any = self.nodes_manager.nodes_cache
        found = known.get(node) if isinstance(node, str) else node
        if found is None:
            self.refresh()
            raise ClusterDownError(f"{node} is no node of the cluster any more")
        return self.get_redis_connection(found)

    def refresh(self) -> None:
        """Asks again which node has what."""
        try:
            self.nodes_manager.initialize()
        except RedisClusterException as error:
            raise ClusterDownError(str(error)) from error


class ClusterPipe(CoreCommands):
    """Commands of one key each; `execute` sends those of a node in one round trip."""

    _event_dispatcher: Any = None  # of redis-py's commands; none of ours uses it

    def __init__(self, cluster: ClusterClient) -> None:
        self._cluster = cluster
        self._asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def execute_command(self, *args: Any, **options: Any) -> ClusterPipe:
        self._asked.append((args, options))
        return self

    def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        """Replies in order. A node that is away raises once all others have answered: of its own
        commands nobody knows what became of them.
        """
        asked, self._asked = self._asked, []
        replies: list[Any] = [None] * len(asked)
        away: RedisError | None = None
        for name, places in self._cluster.by_node([_key(args) for args, _ in asked]).items():
            pipe = self._cluster.at(name).pipeline(transaction=False)
            for place in places:
                args, options = asked[place]
                pipe.execute_command(*args, **options)  # type: ignore[no-untyped-call]
            try:
                answers = pipe.execute(raise_on_error=False)
            except RedisError as error:
                away = error
                continue
            for place, answer in zip(places, answers, strict=True):
                replies[place] = self._followed(answer, *asked[place])
        if away is not None:
            self._cluster.refresh()
            raise away
        if raise_on_error:
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies

    def _followed(self, answer: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if not isinstance(answer, _ELSEWHERE):
            return answer
        try:
            return self._cluster.execute_command(*args, **options)
        except ResponseError as error:
            return error


def _node(host: str, port: int) -> ClusterNode:
    return ClusterNode(host, port)  # type: ignore[no-untyped-call]


def masters(redis: Redis) -> list[Redis]:
    """The servers that hold the data: one, or each primary of the cluster, in a fixed order."""
    if isinstance(redis, ClusterClient):
        nodes = sorted(redis.get_primaries(), key=lambda node: str(node.name))
        return [redis.at(node) for node in nodes]
    return [redis]


def node_of(redis: Redis, key: str | bytes) -> Redis:
    """The server that holds a key."""
    return redis.at(redis.node(key)) if isinstance(redis, ClusterClient) else redis


def ask(redis: Redis, words: Words, key: str | bytes) -> Any:
    """One command about one key; its reply as nested lists, as the server sends it."""
    if not isinstance(redis, ClusterClient):
        return _sent(redis, [words])[0]
    (reply,) = ask_each(redis, [(key, words)])
    if isinstance(reply, Exception):
        raise reply
    return reply


def ask_each(cluster: ClusterClient, asked: Sequence[tuple[str | bytes, Words]]) -> list[Any]:
    """Likewise for many keys, whatever their nodes. A refusal stands among the replies."""
    replies: list[Any] = [None] * len(asked)
    for name, places in cluster.by_node([key for key, _ in asked]).items():
        try:
            answers = _sent(cluster.at(name), [asked[place][1] for place in places], tolerant=True)
        except RedisError:
            cluster.refresh()
            raise
        for place, answer in zip(places, answers, strict=True):
            replies[place] = answer
    moved = [place for place, reply in enumerate(replies) if isinstance(reply, _ELSEWHERE)]
    if moved:
        cluster.refresh()
    for place in moved:
        replies[place] = _followed(cluster, replies[place], *asked[place])
    return replies


def _followed(cluster: ClusterClient, where: Any, key: str | bytes, words: Words) -> Any:
    """Once: a slot that is on its way answers at the one place or at the other."""
    if isinstance(where, AskError) and not isinstance(where, MovedError):
        there = cluster.at(f"{where.host}:{where.port}")
        return _sent(there, [("ASKING",), words], tolerant=True)[1]
    return _sent(cluster.at(cluster.node(key)), [words], tolerant=True)[0]


def _sent(redis: Redis, commands: Sequence[Words], *, tolerant: bool = False) -> list[Any]:
    """Replies of one connection. tolerant: a refusal is a reply."""
    connection = redis.connection_pool.get_connection()
    replies: list[Any] = []
    unread = len(commands)
    try:
        packed = connection.pack_commands(commands)  # type: ignore[no-untyped-call]
        connection.send_packed_command(packed)  # type: ignore[no-untyped-call]
        for _ in commands:
            try:
                reply = connection.read_response()
            except ResponseError as error:
                if not tolerant:
                    unread -= 1
                    raise
                reply = error
            unread -= 1
            replies.append(reply)
    finally:
        if unread:
            # A reply that was not read must never be taken for the answer to the next command.
            connection.disconnect()  # type: ignore[no-untyped-call]
        redis.connection_pool.release(connection)
    return replies


def _key(args: Sequence[Any]) -> Any:
    return args[3] if str(args[0]).upper() in _SCRIPTS else args[1]
