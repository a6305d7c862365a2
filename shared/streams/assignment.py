"""Who should own which partition: a pure function that every node computes for itself.

Disagreement between nodes is harmless: the database fences (see decision 0002).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple


class PartitionId(NamedTuple):
    """One partition of one stream."""

    stream: str
    number: int


def weight(member: str, partition: PartitionId) -> bytes:
    """Rendezvous weight: the same everywhere, and independent of the other members."""
    text = f"{member}|{partition.stream}|{partition.number}"
    return blake2b(text.encode(), digest_size=8).digest()


def assign(members: Iterable[str], partitions: Sequence[PartitionId]) -> dict[PartitionId, str]:
    """Spread partitions over members: none holds more than its even share, few move on a change.

    Each partition goes to the heaviest member that still has room (rendezvous hashing with a cap).
    """
    live = sorted(set(members))
    if not live:
        return {}
    room = dict.fromkeys(live, 0)
    share, spare = divmod(len(partitions), len(live))
    owners: dict[PartitionId, str] = {}
    for partition in sorted(partitions):
        ranked = sorted(live, key=lambda member: weight(member, partition), reverse=True)
        for member in ranked:
            # `spare` members may hold one partition above the even share.
            if room[member] < share or (room[member] == share and spare > 0):
                spare -= room[member] == share
                room[member] += 1
                owners[partition] = member
                break
    return owners
