"""How many of each role a cluster begins with, and what one may use. A fleet of some thousand
accounts; `fleet capacity` tells what another needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shared.settings import DECRYPTS, WITHOUT_MYSQL


class Size(NamedTuple):
    """memory: MiB. most: of nodes, where their number follows the load; 0: it does not."""

    nodes: int
    cpu: str
    memory: int
    most: int = 0


SIZES: Mapping[str, Size] = {
    "streams": Size(2, "500m", 512, 16),
    "relay": Size(2, "100m", 256),
    "laravel": Size(2, "200m", 256, 16),
    "jobs": Size(2, "200m", 768),
    "sync": Size(1, "500m", 768),
    "userstreams": Size(1, "200m", 512),
    "beat": Size(2, "50m", 256),
    "flower": Size(1, "50m", 256),
    "rq": Size(1, "200m", 512),
    "metrics": Size(1, "100m", 256),
    "collector": Size(2, "500m", 768),
    "audit": Size(2, "200m", 512),
    "timescale": Size(2, "200m", 512),
}

_TIMESCALE = frozenset({"jobs", "metrics", "timescale"})


def secrets_of(role: str) -> list[str]:
    """Names of the secrets that a role is given, each as a file; nobody gets more than it needs."""
    found = ["REDIS_PASSWORD"]
    if role not in WITHOUT_MYSQL:
        found.append("DB_PASSWORD")
    if role in DECRYPTS:
        found.append("APP_KEY")
    if role in _TIMESCALE or role == "migrate":
        found.append("FLEET_TIMESCALE_URL")
    return found
