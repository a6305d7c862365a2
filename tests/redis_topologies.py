"""A Redis Cluster and a Sentinel group of one test, from the root of the shared servers.

Nothing of them is on disk but a cluster's own view of itself, which goes with them.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from redis import Redis
from redis.exceptions import RedisError

from shared.endpoints import Address, RedisSettings, Sentinels
from tests.waiting import eventually
from tests.workers.fleet_env import env_file

HOST = "127.0.0.1"
SLOTS = 16_384
NODE_TIMEOUT_MS = 800
SERVICE = "desk"


class Server:
    """One redis-server. options: as on its command line."""

    def __init__(self, root: str, port: int, options: Sequence[str], bus: int = 0) -> None:
        self._root = root
        self.port = port
        self.bus = bus  # of a cluster
        # What a replica is sent is written there, too: nobody else may find it at a start.
        self._dump = f"own-{uuid.uuid4().hex[:10]}.rdb"
        self.options = [*options, "--dbfilename", self._dump, "--rdb-del-sync-files", "yes"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                # It ends with the test that started it, however that one ends.
                "chroot", self._root, "setpriv", "--pdeathsig", "KILL",
                "redis-server", *self.options,
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        eventually(self.answers)

    def kill(self) -> None:
        """As its machine would: at once, and nothing is said to anybody; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            (Path(self._root) / "tmp" / self._dump).unlink(missing_ok=True)

    def stop(self) -> None:
        """SIGSTOP: its connections stay, nothing is read."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def runs(self) -> bool:
        return self._process is not None

    def client(self, **options: Any) -> Redis:
        return Redis(host=HOST, port=self.port, socket_timeout=5, **options)

    def say(self, *words: Any) -> Any:
        with closing(self.client()) as client:
            said: Any = client.execute_command
            return said(*words)

    def answers(self) -> bool:
        """It, and no other that took the port."""
        assert self._process is None or self._process.poll() is None, "redis-server ended"
        try:
            with closing(self.client()) as client:
                told: Any = client.info("server")
        except RedisError:
            return False
        return self._process is not None and told["process_id"] == self._process.pid


def root() -> str:
    """Of the shared servers. Which of the two databases they have does not matter here, so no test
    asks for them and runs twice.
    """
    return dotenv_values(env_file())["SERVERS_ROOT"] or ""


def free_ports(count: int) -> list[int]:
    """All different: each is held until all are found."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class OwnCluster:
    """`masters` have a third of the slots each; `replicas` are theirs, in the same order."""

    def __init__(self, root: str, *, replicas: bool) -> None:
        self._root = root
        self._mark = uuid.uuid4().hex[:10]
        count = 6 if replicas else 3
        ports = free_ports(2 * count)
        made = [self._server(*pair) for pair in zip(ports[::2], ports[1::2], strict=True)]
        self.masters, self.replicas = made[:3], made[3:]

    @property
    def servers(self) -> list[Server]:
        return [*self.masters, *self.replicas]

    @property
    def where(self) -> RedisSettings:
        return RedisSettings(nodes=tuple((HOST, one.port) for one in self.masters))

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(one.name for one in self.masters)

    def start(self) -> None:
        for one in self.servers:
            one.start()
        for number, one in enumerate(self.masters):
            first, end = SLOTS * number // 3, SLOTS * (number + 1) // 3
            one.say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            one.say("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for one in self.servers[1:]:
            one.say("CLUSTER", "MEET", HOST, self.masters[0].port, self.masters[0].bus)
        eventually(lambda: all(self._knows_all(one) for one in self.servers))
        for master, replica in zip(self.masters, self.replicas, strict=False):
            replica.say("CLUSTER", "REPLICATE", master.say("CLUSTER", "MYID"))
        eventually(lambda: all(self._ready(one) for one in self.servers))

    def remove(self) -> None:
        for one in self.servers:
            one.kill()
            (Path(self._root) / "tmp" / self._file(one.port)).unlink(missing_ok=True)

    def master_of(self, key: str) -> Server:
        """Who has the key now."""
        slot = int(self._any().say("CLUSTER", "KEYSLOT", key))
        for first, last, (_, port, *_), *_ in self._any().say("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(one for one in self.servers if one.port == port)
        raise AssertionError(f"slot {slot} is nobody's")

    def move(self, key: str, to: Server) -> None:
        """The slot of a key goes to another master, as `redis-cli --cluster reshard` does it."""
        begun = self.begin_move(key, to)
        self.end_move(key, begun, to)

    def primaries(self) -> list[Server]:
        """Those with slots, now."""
        return [one for one in self.servers if one.runs and one.say("ROLE")[0] == b"master"]

    def other_than(self, master: Server) -> Server:
        return next(one for one in self.primaries() if one is not master)

    def replica_of(self, master: Server) -> Server:
        known = master.say("CLUSTER", "MYID")
        found = master.say("CLUSTER REPLICAS", known)
        ports = {int(name.rpartition(":")[2]) for name in found}
        return next(one for one in self.servers if one.port in ports)

    def begin_move(self, key: str, to: Server) -> Server:
        """Up to where the one has the slot and the other its keys; returns the one."""
        source = self.master_of(key)
        slot = source.say("CLUSTER", "KEYSLOT", key)
        to.say("CLUSTER", "SETSLOT", slot, "IMPORTING", source.say("CLUSTER", "MYID"))
        source.say("CLUSTER", "SETSLOT", slot, "MIGRATING", to.say("CLUSTER", "MYID"))
        keys = source.say("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        if keys:
            source.say("MIGRATE", HOST, to.port, "", 0, 5000, "KEYS", *keys)
        return source

    def end_move(self, key: str, source: Server, to: Server) -> None:
        slot = source.say("CLUSTER", "KEYSLOT", key)
        left = source.say("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        if left:
            source.say("MIGRATE", HOST, to.port, "", 0, 5000, "KEYS", *left)
        for one in (to, *(other for other in self.primaries() if other is not to)):
            one.say("CLUSTER", "SETSLOT", slot, "NODE", to.say("CLUSTER", "MYID"))

    def _any(self) -> Server:
        return next(one for one in self.servers if one.runs)

    def _knows_all(self, one: Server) -> bool:
        known = one.say("CLUSTER", "NODES")
        lines = known if isinstance(known, list | dict) else known.decode().splitlines()
        return len(lines) == len(self.servers) and "handshake" not in str(known)

    def _ready(self, one: Server) -> bool:
        told = one.say("CLUSTER INFO")
        with closing(one.client()) as client:
            link: Any = client.info("replication")
        replica = link["role"] == "slave"
        fine = not replica or link["master_link_status"] == "up"
        well = told["cluster_state"] == "ok" and replica == (one in self.replicas)
        return bool(fine and well)

    def _server(self, port: int, bus: int) -> Server:
        options = [
            "--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no",
            "--dir", "/tmp", "--maxmemory-policy", "noeviction",  # noqa: S108 - the root's own
            "--cluster-enabled", "yes", "--cluster-port", str(bus),
            "--cluster-config-file", self._file(port),
            "--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--repl-diskless-sync-delay", "0",
        ]  # fmt: skip
        return Server(self._root, port, options, bus)

    def _file(self, port: int) -> str:
        return f"cluster-{self._mark}-{port}.conf"


class OwnSentinels:
    """A primary, a replica, and three sentinels that agree within a second."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._mark = uuid.uuid4().hex[:10]
        ports = free_ports(5)
        self.data = [self._data(port) for port in ports[:2]]
        self.sentinels = [self._sentinel(port) for port in ports[2:]]

    @property
    def where(self) -> RedisSettings:
        return RedisSettings(sentinels=Sentinels(addresses=self.addresses, service=SERVICE))

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple((HOST, one.port) for one in self.sentinels)

    def environ(self) -> dict[str, str]:
        """For an application that shall use it."""
        return {
            "REDIS_SENTINEL_HOST": ",".join(one.name for one in self.sentinels),
            "REDIS_SENTINEL_SERVICE": SERVICE,
        }

    def start(self) -> None:
        for one in self.data:
            one.start()
        self.data[1].say("REPLICAOF", HOST, self.data[0].port)
        for one in self.sentinels:
            one.start()
        eventually(lambda: all(self._ready(one) for one in self.sentinels))

    def remove(self) -> None:
        for one in (*self.sentinels, *self.data):
            one.kill()
        for path in (Path(self._root) / "tmp").glob(f"sentinel-{self._mark}-*"):
            path.unlink(missing_ok=True)

    def replica_of(self, master: Server) -> Server:
        return next(one for one in self.data if one is not master)

    def primary(self) -> Server:
        _, port = self.sentinels[0].say("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(one for one in self.data if one.port == int(port))

    def _ready(self, one: Server) -> bool:
        with closing(one.client()) as client:
            found: Any = client.sentinel_master(SERVICE)
            replicas: Any = client.sentinel_slaves(SERVICE)
        linked = any(row["master-link-status"] == "ok" for row in replicas)
        return bool(found["num-other-sentinels"] == 2 and linked)

    def _data(self, port: int) -> Server:
        options = [
            "--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no",
            "--dir", "/tmp", "--maxmemory-policy", "noeviction",  # noqa: S108 - the root's own
            "--repl-diskless-sync-delay", "0",
        ]  # fmt: skip
        return Server(self._root, port, options)

    def _sentinel(self, port: int) -> Server:
        path = Path(self._root) / "tmp" / f"sentinel-{self._mark}-{port}.conf"
        path.write_text(
            f"port {port}\nbind {HOST}\nprotected-mode no\ndir /tmp\n"
            f"sentinel monitor {SERVICE} {HOST} {self.data[0].port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        return Server(self._root, port, [f"/tmp/{path.name}", "--sentinel"])  # noqa: S108


def lose_tail(master: Server, replica: Server, write: Callable[[], object]) -> None:
    """What `write` does is on the primary alone when that dies; the replica lives on without it."""
    replica.stop()
    master.say("CLIENT", "KILL", "TYPE", "replica")
    write()
    master.kill()
    replica.go_on()


@contextmanager
def own_cluster(*, replicas: bool = False) -> Iterator[OwnCluster]:
    found = OwnCluster(root(), replicas=replicas)
    try:
        found.start()
        yield found
    finally:
        found.remove()


@contextmanager
def own_sentinels() -> Iterator[OwnSentinels]:
    found = OwnSentinels(root())
    try:
        found.start()
        yield found
    finally:
        found.remove()
