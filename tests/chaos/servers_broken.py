"""How the servers of a fleet are broken, and mended as an operator would."""

from __future__ import annotations

from contextlib import closing

from tests.chaos.own_fleet import OwnFleet

SLOW_BYTES = 1_500
"""A second; a fleet under traffic writes several times as much log."""
FILLS, FILL_BYTES = 2_200, 3_000
"""Together beyond seven tenths of the fleet's budget, and below all of it."""


def stop_redis(fleet: OwnFleet) -> None:
    fleet.redis.stop()


def start_redis(fleet: OwnFleet) -> None:
    fleet.redis.start()


def make_replica(fleet: OwnFleet) -> None:
    with closing(fleet.client()) as redis:
        redis.replicaof("127.0.0.1", "1")
    fleet.trade()


def make_master(fleet: OwnFleet) -> None:
    with closing(fleet.client()) as redis:
        redis.replicaof("NO", "ONE")


def fill_redis(fleet: OwnFleet) -> None:
    fleet.redis.fill_up()
    fleet.trade()


def make_room(fleet: OwnFleet) -> None:
    fleet.redis.make_room()


def spoil_saving(fleet: OwnFleet) -> None:
    """Where the file should be there is a folder."""
    fleet.redis.spoil()


def mend_saving(fleet: OwnFleet) -> None:
    fleet.redis.mend()


def flush_redis(fleet: OwnFleet) -> None:
    fleet.trade(count=3)
    fleet.until(lambda: fleet.lag() == 0)
    with closing(fleet.client()) as redis:
        redis.flushall()


def recover(fleet: OwnFleet) -> None:
    fleet.fleet("recover")


def fill_budget(fleet: OwnFleet) -> None:
    fleet.kill("streams")
    fleet.trade(46, FILLS, note="x" * FILL_BYTES)


def stop_mysql(fleet: OwnFleet) -> None:
    fleet.mysql.kill()


def start_mysql(fleet: OwnFleet) -> None:
    fleet.mysql.start()


def slow_source(fleet: OwnFleet) -> None:
    fleet.source_gate.slow(SLOW_BYTES)


def mend_source(fleet: OwnFleet) -> None:
    fleet.source_gate.heal()


def stop_timescale(fleet: OwnFleet) -> None:
    assert fleet.timescale_gate is not None
    fleet.timescale_gate.refuse()


def start_timescale(fleet: OwnFleet) -> None:
    assert fleet.timescale_gate is not None
    fleet.timescale_gate.heal()
