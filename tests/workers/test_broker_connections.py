"""Celery, RedBeat, RQ and leases over TLS, a socket and Sentinel, on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from shared.settings import Settings
from tests.redis_topologies import OwnSentinels, own_sentinels
from tests.shared.test_redis_clients import WORD, Guarded, guarded
from tests.waiting import eventually
from tests.workers.fleet_env import Surroundings, forget_rq, process, surroundings
from tests.workers.test_app import node_command
from workers.jobs import operator
from workers.lease import broker_redis, run_once
from workers.wiring import make_app

__all__ = ["guarded"]

pytestmark = pytest.mark.any_database

EVERYTHING = ("ACL", "SETUSER", "broker", "on", f">{WORD}", "~*", "&*", "+@all")
LOGIN = f"broker:{quote(WORD, safe='')}"


@pytest.fixture(scope="module")
def sentinels() -> Iterator[OwnSentinels]:
    with own_sentinels() as found:
        for one in found.data:
            one.say(*EVERYTHING)
        yield found


@contextmanager
def app_of(settings: Settings) -> Iterator[Celery]:
    app = make_app(settings, "jobs")
    try:
        yield app
    finally:
        app.close()


def pings(app: Celery) -> bool:
    """While a primary is being chosen, connections to it end."""
    try:
        return bool(app.control.inspect(timeout=1).ping())
    except (OperationalError, ConnectionError, RedisError):
        return False


def uses_all_of_it(settings: Settings) -> None:
    """A task is sent and counted, RedBeat reaches its keys, RQ its queue, a lease is taken once."""
    from redbeat.schedulers import get_redis  # noqa: PLC0415 - needs the app first

    with app_of(settings) as app:
        app.send_task("fleet.trim_streams", queue="fleet.jobs")
        with closing(broker_redis(settings)) as redis:
            assert redis.llen(f"{settings.broker_prefix}fleet.jobs") == 1
            told: Any = redis.client_list()
            assert {row["db"] for row in told if "fleet" in row["name"]} == {
                str(settings.broker.database)
            }
        assert get_redis(app).ping()
        get_redis(app).set(f"{settings.broker_prefix}redbeat:here", "1")
    with closing(broker_redis(settings)) as redis:
        assert redis.get(f"{settings.broker_prefix}redbeat:here") == b"1"
        redis.delete(f"{settings.broker_prefix}fleet.jobs")
    assert run_once(settings, "fleet.test", lambda: 7) == 7
    forget_rq()
    queue = operator.queue(settings)
    assert queue.count == 0
    queue.connection.close()
    forget_rq()


def test_the_broker_over_tls(guarded: Guarded) -> None:
    guarded.server.say(*EVERYTHING)
    files = guarded.where().certificates
    with surroundings(
        FLEET_BROKER_URL=f"rediss://{LOGIN}@127.0.0.1:{guarded.tls_port}/5",
        FLEET_REDIS_CA=str(files.ca),
        FLEET_REDIS_CERT=str(files.certificate),
        FLEET_REDIS_KEY=str(files.key),
    ) as around:
        uses_all_of_it(around.settings)


def test_the_broker_over_a_socket(guarded: Guarded) -> None:
    guarded.server.say(*EVERYTHING)
    with surroundings(FLEET_BROKER_URL=f"unix://{LOGIN}@{guarded.socket}?db=5") as around:
        uses_all_of_it(around.settings)


@contextmanager
def behind(sentinels: OwnSentinels, **more: str) -> Iterator[Surroundings]:
    hosts = ",".join(one.name for one in sentinels.sentinels)
    url = f"redis+sentinel://{LOGIN}@{hosts}/desk/5"
    with surroundings(FLEET_BROKER_URL=url, **more) as around:
        yield around


def test_the_broker_behind_sentinel(sentinels: OwnSentinels) -> None:
    with behind(sentinels) as around:
        uses_all_of_it(around.settings)


def test_a_node_answers_again_after_a_failover(sentinels: OwnSentinels, tmp_path: Path) -> None:
    with (
        behind(sentinels, FAKE_READER="ok", FLEET_RUN_DIR=str(tmp_path)) as around,
        process(node_command(), around.environ, tmp_path / "log") as node,
        app_of(around.settings) as app,
    ):
        eventually(lambda: pings(app), 40)
        primary = sentinels.primary()
        primary.kill()
        eventually(lambda: sentinels.primary() is not primary, 20)
        with app_of(around.settings) as again:
            eventually(lambda: pings(again), 40)
        assert node.poll() is None
        uses_all_of_it(around.settings)
    assert WORD not in (tmp_path / "log").read_text()
