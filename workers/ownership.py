"""Heartbeats of a node: who lives, what this node should own, what it has lost.

The keeper only looks and renews. Lanes take and let go, between two batches of theirs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from shared.streams.assignment import PartitionId, assign
from shared.streams.lease import BEAT_SECONDS, Leases
from workers.drain import never


class Keeper(threading.Thread):
    """Renews leases and publishes `wanted`; a thread of its own, so no long batch can stop it."""

    def __init__(
        self,
        leases: Leases,
        node: str,
        partitions: Sequence[PartitionId],
        log: Callable[..., None],
        resting: Callable[[], bool] = never,
    ) -> None:
        """resting: the node shall own nothing for now."""
        super().__init__(name="fleet-keeper", daemon=True)
        self._leases = leases
        self._node = node
        self._partitions = partitions
        self._log = log
        self._resting = resting
        self._lock = threading.Lock()
        self._held: set[PartitionId] = set()
        self._lost: set[PartitionId] = set()
        self._wanted: frozenset[PartitionId] = frozenset()
        self._stopping = threading.Event()
        self._retiring = False
        self._turn = threading.Event()
        self.failure: BaseException | None = None
        self.beats = 0

    @property
    def wanted(self) -> frozenset[PartitionId]:
        """Partitions this node should own now. Empty until the first heartbeat got through."""
        return self._wanted

    def hold(self, partition: PartitionId) -> None:
        """Renew this lease from now on."""
        with self._lock:
            self._held.add(partition)
            self._lost.discard(partition)

    def drop(self, partition: PartitionId) -> None:
        """Renew it no longer."""
        with self._lock:
            self._held.discard(partition)
            self._lost.discard(partition)

    def lost(self, partition: PartitionId) -> bool:
        """True when the lease ran out or is somebody else's."""
        with self._lock:
            return partition in self._lost

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._beat()
                except RedisError as error:
                    # Redis is away: no lease can be renewed or taken by anybody. Lanes notice by
                    # themselves; the epoch in MySQL keeps everyone safe meanwhile.
                    self._log("heartbeat_failed", error=str(error))
                self._turn.wait(BEAT_SECONDS)
                self._turn.clear()
        except BaseException as failure:  # noqa: BLE001 - handed to the reader, which ends the process
            self.failure = failure

    def retire(self) -> None:
        """Count among the live no longer, and go on renewing what the lanes still hold: the others
        know what will be theirs while it is being let go, instead of half a second later.
        """
        self._retiring = True
        self._turn.set()

    def stop(self) -> None:
        self._stopping.set()
        self._turn.set()

    def _beat(self) -> None:
        # Leases first: whatever becomes of the announcement, what is held stays held.
        with self._lock:
            held = set(self._held)
        lost = self._leases.renew(held)
        with self._lock:
            self._lost |= lost & self._held
        if self._retiring:
            self._leases.leave()
            return
        if self._resting():
            self._wanted = frozenset()
            self._leases.leave()
            self.beats += 1
            return
        members = self._leases.announce()
        owners = assign(members, self._partitions)
        self._wanted = frozenset(
            partition for partition, owner in owners.items() if owner == self._node
        )
        self.beats += 1
