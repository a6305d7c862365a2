"""Composition of the role `userstreams`: settings become a node, and what lives on its loop."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from functools import partial

from shared.exchanges.client import Exchanges
from shared.exchanges.limits import Limits, limits_client
from shared.exchanges.sockets import Sockets
from shared.exchanges.stream_table import STREAMS
from shared.exchanges.table import VENUES
from shared.mysql.connection import connect
from shared.settings import Settings
from workers.drain import never
from workers.reporting import Report
from workers.sync.credentials import Credentials
from workers.sync_build import tell_suspended
from workers.userstreams import line, node, recorder
from workers.userstreams.leases import Leases
from workers.userstreams.node import Parts, UserStreams
from workers.userstreams.recorder import Recorder

NAME = "fleet-userstreams"


def build_userstreams(
    settings: Settings,
    report: Callable[[Report], None],
    *,
    node_bounds: node.Bounds | None = None,
    line_bounds: line.Bounds | None = None,
    record_bounds: recorder.Bounds | None = None,
    resting: Callable[[], bool] = never,
) -> UserStreams:
    """The reader of a node. Raises SettingsError where no key opens the keys of accounts. resting:
    hold no account for now (workers/drain.py).
    """
    bounds = node_bounds or node.Bounds()
    open_keys = Credentials(settings).open
    connect_mysql = partial(connect, settings.mysql)

    async def parts() -> Parts:
        redis = limits_client(settings.broker, NAME)
        limits = Limits(redis, settings.broker_prefix, settings.order_share)
        exchanges = Exchanges(limits, settings.egress, url=settings.exchange_url)
        sockets = Sockets(settings.egress, url=settings.exchange_url)
        desk = line.Desk(
            exchanges=exchanges,
            sockets=sockets,
            limits=limits,
            venues=VENUES,
            streams=STREAMS,
            open_keys=open_keys,
            recorder=Recorder(
                connect_mysql, partial(tell_suspended, settings), report, record_bounds
            ),
            chance=random.random,
            bounds=line_bounds or line.Bounds(),
        )
        leases = Leases(
            limits_client(settings.broker, NAME), settings.broker_prefix, secrets.token_hex(8),
            bounds.lease_ms,
        )  # fmt: skip

        async def close() -> None:
            await sockets.close()
            await exchanges.close()
            await leases.close()

        return Parts(desk, leases, close)

    return UserStreams(parts, connect_mysql, bounds, resting)
