"""Names of the stream keys, and which partition a key belongs to."""

from __future__ import annotations

from zlib import crc32


def stream_key(prefix: str, stream: str, partition: int) -> str:
    """Redis key of one partition, `desk_streams:{orders:3}`.

    prefix is Laravel's REDIS_PREFIX as it stands, its separator included. The braces are literal:
    they are a Redis hash tag, so the helper keys of a partition live on the same cluster node.
    """
    return f"{prefix}streams:{{{stream}:{partition}}}"


def partition_of(key: str | bytes, partitions: int) -> int:
    """Partition of a key: crc32 of its text modulo the number of partitions, as PHP's crc32()."""
    return crc32(key.encode() if isinstance(key, str) else key) % partitions
