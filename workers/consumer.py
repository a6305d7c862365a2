"""The stream reader of one node: a keeper and a few lanes, started and stopped as one."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import closing

from redis.exceptions import RedisError

from shared.mysql.offsets import Offsets
from shared.streams.assignment import PartitionId
from shared.streams.lease import Leases
from workers.lane import Lane, Tools
from workers.links import mysql_errors
from workers.ownership import Keeper

STUCK_SECONDS = 30.0
"""A lane that has not turned for this long, while MySQL and Redis answer, is not alive."""


class StreamReader:
    """Blocks in run() until stop(); raises what ends the process."""

    def __init__(
        self,
        tools: Tools,
        partitions: Sequence[PartitionId],
        *,
        lanes: int = 2,
        node_key: str | None = None,
    ) -> None:
        self._tools = tools
        self._partitions = list(partitions)
        self._lanes_wanted = lanes
        self._node = node_key or tools.node
        self._stopping = threading.Event()
        self._keeper: Keeper | None = None
        self._lanes: list[Lane] = []
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Read until stop(). Every thread's failure ends here, and with it the process."""
        tools = self._tools
        self._ensure_offsets()
        with closing(tools.connect_redis()) as redis:
            self._run(Leases(redis, tools.prefix, tools.consumer, tools.node))

    def _run(self, leases: Leases) -> None:
        tools = self._tools
        keeper = Keeper(leases, tools.node, self._partitions, tools.log, tools.resting)
        self._keeper = keeper
        self._lanes = [
            Lane(tools, keeper, index, self._lanes_wanted) for index in range(self._lanes_wanted)
        ]
        threads = [
            threading.Thread(target=self._guard, args=(lane,), name=f"fleet-lane-{index}")
            for index, lane in enumerate(self._lanes)
        ]
        keeper.start()
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if self._stopping.wait(0.2) or self._failure or keeper.failure:
                self._stop_lanes()
            for thread in threads:
                thread.join(0.05)
        keeper.stop()
        keeper.join()
        try:
            leases.leave()
        except RedisError as error:
            # Redis is away: the membership runs out by itself.
            tools.log("left_without_goodbye", error=str(error))
        failure = self._failure or keeper.failure
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Finish the batch in hand, hand every partition over, return from run()."""
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.retire()
        self._stop_lanes()

    def info(self) -> dict[str, object]:
        """For Flower's worker page and the logs."""
        owned = [one for lane in self._lanes for one in lane.owned]
        return {
            "node": self._node,
            "owned": sorted(f"{one.id.stream}:{one.id.number}" for one in owned),
            "halted": sorted(f"{one.id.stream}:{one.id.number}" for one in owned if one.halted),
            "in_flight": sum(lane.in_flight for lane in self._lanes),
            "last_id": max((one.last_id for one in owned), default=None),
            "last_error": next((lane.last_error for lane in self._lanes if lane.last_error), None),
        }

    def held(self) -> int:
        """Partitions that it owns, or is about to."""
        wanted = len(self._keeper.wanted) if self._keeper is not None else 0
        return max(wanted, sum(len(lane.owned) for lane in self._lanes))

    def ready(self) -> bool:
        """Owns everything it should own."""
        if self._keeper is None or not self._keeper.beats:
            return False
        owned = {one.id for lane in self._lanes for one in lane.owned}
        return owned >= self._keeper.wanted

    def alive(self, now_monotonic: float | None = None) -> bool:
        """Every lane has turned lately."""
        now = time.monotonic() if now_monotonic is None else now_monotonic
        return self._failure is None and all(
            now - lane.turned_at < STUCK_SECONDS for lane in self._lanes
        )

    def _guard(self, lane: Lane) -> None:
        try:
            lane.run()
        except BaseException as failure:  # noqa: BLE001 - carried to run(), which raises it
            self._failure = failure

    def _stop_lanes(self) -> None:
        for lane in self._lanes:
            lane.stop()

    def _ensure_offsets(self) -> None:
        with mysql_errors(), closing(self._tools.connect_mysql()) as connection:
            Offsets(connection, self._tools.consumer).ensure(self._partitions)
            connection.commit()


def node_name(hostname: str) -> str:
    """Name of this start of a node: a restarted process is a new owner, never its predecessor."""
    return f"{hostname}/{uuid.uuid4().hex[:12]}"

