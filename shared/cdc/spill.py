"""Encoded rows of one transaction: in memory up to a bound, then in a file that has no name."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from shared.cdc.errors import SourceStopped

MEMORY_BYTES = 64 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024
ROW_OVERHEAD = 48
"""What a bytes object and its place in a list take beside its letters."""

_LENGTH = struct.Struct("<I")


class SpilledRows:
    """Appended, read in order any number of times, closed. In the file each row has its length in
    front of it. The file is gone with the process, however that ends.
    """

    def __init__(self, folder: Path, memory_bytes: int = MEMORY_BYTES) -> None:
        self._folder = folder
        self._most = memory_bytes
        self._memory: list[bytes] = []
        self._size = 0
        self._count = 0
        self._file: IO[bytes] | None = None

    def append(self, row: bytes) -> None:
        # A copy: orjson's own bytes keep a hole of up to 8 kB behind them.
        self._memory.append(bytes(memoryview(row)))
        self._count += 1
        self._size += len(row) + ROW_OVERHEAD
        if self._size > self._most:
            self.spill()

    def spill(self) -> None:
        """Writes out what is in memory; from now on only a block of it is held there."""
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed by close()
            self._file.seek(0, 2)
            for at in range(0, len(self._memory), 10_000):
                rows = self._memory[at : at + 10_000]
                data = b"".join(part for row in rows for part in (_LENGTH.pack(len(row)), row))
                view = memoryview(data)
                while view:
                    view = view[self._file.write(view) :]
        except OSError as error:
            raise SourceStopped(
                "spill",
                f"a long transaction cannot be written to {self._folder}: {error.strerror}",
                "Make room there, or name another folder in FLEET_CDC_SPILL_DIR",
            ) from error
        self._memory.clear()
        self._size = 0
        self._most = BLOCK_BYTES

    @property
    def memory(self) -> int:
        """Bytes that it takes there."""
        return self._size

    def truncate(self, count: int) -> None:
        """Only the first `count` rows stay: the others were rolled back to a savepoint."""
        if self._file is None:
            del self._memory[count:]
            self._size = sum(len(row) + ROW_OVERHEAD for row in self._memory)
        else:
            self.spill()
            self._file.truncate(self._end_of(count))
        self._count = count

    def _end_of(self, count: int) -> int:
        assert self._file is not None
        end = 0
        for _ in range(count):
            self._file.seek(end)
            end += _LENGTH.size + _LENGTH.unpack(self._file.read(_LENGTH.size))[0]
        return end

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        if self._file is not None:
            yield from self._written()
        yield from self._memory

    def _written(self) -> Iterator[bytes]:
        """Reads in blocks. Each reader keeps its own place: two may read at once."""
        assert self._file is not None
        place, rest = 0, b""
        while True:
            self._file.seek(place)
            block = self._file.read(BLOCK_BYTES)
            if not block:
                return
            place += len(block)
            rest += block
            at = 0
            while at + _LENGTH.size <= len(rest):
                end = at + _LENGTH.size + _LENGTH.unpack_from(rest, at)[0]
                if end > len(rest):
                    break
                yield rest[at + _LENGTH.size : end]
                at = end
            rest = rest[at:]

    def close(self) -> None:
        self._memory.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
