"""Who listens where, as the kernel says it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LISTENS = "0A"


class Listener(NamedTuple):
    """TCP, of either family."""

    address: str
    port: int

    @property
    def is_local(self) -> bool:
        found = ipaddress.ip_address(self.address)
        mapped = getattr(found, "ipv4_mapped", None)
        return (mapped or found).is_loopback


def listeners_of(pids: Iterable[int]) -> set[Listener]:
    """Of processes; one that has just ended has none."""
    inodes = {inode for pid in pids for inode in _sockets(pid)}
    return {one for inode, one in _listening() if inode in inodes}


def listeners_at(ports: Iterable[int]) -> set[Listener]:
    """Whoever owns them."""
    wanted = set(ports)
    return {one for _, one in _listening() if one.port in wanted}


def _listening() -> Iterator[tuple[str, Listener]]:
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS:
                address, port = fields[1].split(":")
                yield fields[9], Listener(_address(address), int(port, 16))


def _address(digits: str) -> str:
    """Words of four bytes, each the wrong way round."""
    raw = bytes.fromhex(digits)
    words = (raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return str(ipaddress.ip_address(b"".join(words)))


def _sockets(pid: int) -> Iterator[str]:
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return
    for link in links:
        with suppress(FileNotFoundError, ProcessLookupError):  # closed meanwhile; others are not
            target = str(link.readlink())
            if target.startswith("socket:["):
                yield target.removeprefix("socket:[").removesuffix("]")
