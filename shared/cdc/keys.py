"""Names of the keys of the change stream, in Redis. All share one hash tag, so they live on one
node of a cluster, one script reaches them, and a loss of Redis takes the same tail of each.
"""

from __future__ import annotations

from typing import NamedTuple

STREAM, PARTITION, CONSUMER = "cdc", 0, "collector"
"""As a partition stream is named: `desk_streams:{cdc:0}`. Its lease is named like theirs."""


class CdcKeys(NamedTuple):
    """stream: entries, ID seq-chunk (see envelope.py). checkpoint: hash (see checkpoint.py).
    sinks: hash, sink -> what it has (see log.py), a hint only. requests: list of JSON, oldest
    first. lease: who collects.
    """

    stream: str
    checkpoint: str
    sinks: str
    requests: str
    lease: str


def cdc_keys(prefix: str) -> CdcKeys:
    """prefix: Laravel's REDIS_PREFIX as it stands."""
    stream = f"{prefix}streams:{{{STREAM}:{PARTITION}}}"
    return CdcKeys(
        stream,
        f"{stream}:checkpoint",
        f"{stream}:sinks",
        f"{stream}:requests",
        f"{stream}:lease:{CONSUMER}",
    )
