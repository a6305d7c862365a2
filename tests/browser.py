"""One page in a real Chromium, asked through its own debugging protocol: what it shows at which
width and in which colours. The page's own policy forbids scripts; this is not the page's.
"""

from __future__ import annotations

import base64
import itertools
import json
import struct
import urllib.request
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

from tests.desk_tools import CHROMIUM, ToolFolder
from tests.waiting import eventually
from tests.workers.fleet_env import free_port

START_SECONDS = 30


class Pixels(NamedTuple):
    """rows: of (red, green, blue)."""

    width: int
    height: int
    rows: list[list[tuple[int, int, int]]]


class Tab:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def send(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            told = await self._socket.receive_json(timeout=START_SECONDS)
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]

    async def open(self, url: str, *, width: int, height: int, dark: bool) -> None:
        """Returns when it is loaded."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        await self.send("Page.enable")
        await self.send("Page.navigate", url=url)
        while (await self._socket.receive_json(timeout=START_SECONDS)).get("method") != (
            "Page.loadEventFired"
        ):
            pass

    async def evaluate(self, expression: str) -> Any:
        told = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"]["value"]

    async def picture(self, x: int, y: int, width: int, height: int) -> Pixels:
        """A part of it: to read a whole window takes seconds."""
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        told = await self.send("Page.captureScreenshot", format="png", clip=clip)
        return pixels(base64.b64decode(told["data"]))


@asynccontextmanager
async def tab(folder: ToolFolder) -> AsyncIterator[Tab]:
    port = free_port()
    with folder.running(*CHROMIUM, f"--remote-debugging-port={port}", "about:blank"):

        def page() -> str:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=2) as answer:
                    found = json.load(answer)
            except OSError:
                return ""
            pages = [one["webSocketDebuggerUrl"] for one in found if one["type"] == "page"]
            return str(pages[0]) if pages else ""

        where = eventually(page, START_SECONDS)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(where, max_msg_size=0) as socket,
        ):
            yield Tab(socket)


def pixels(png: bytes) -> Pixels:
    """Of a picture as Chromium makes them: 8 bits, RGB or RGBA, not interlaced."""
    width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", png[16:29])
    assert (depth, rest[2]) == (8, 0)
    size = {2: 3, 6: 4}[kind]
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw, before = zlib.decompress(data), bytes(width * size)
    rows = []
    for number in range(height):
        start = number * (width * size + 1)
        line = bytearray(raw[start + 1 : start + 1 + width * size])
        _unfilter(raw[start], line, before, size)
        before = bytes(line)
        rows.append([(line[x], line[x + 1], line[x + 2]) for x in range(0, len(line), size)])
    return Pixels(width, height, rows)


def _unfilter(kind: int, line: bytearray, above: bytes, size: int) -> None:
    for x in range(len(line)):
        left = line[x - size] if x >= size else 0
        corner = above[x - size] if x >= size else 0
        up = above[x]
        guess = (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]
        line[x] = (line[x] + guess) & 0xFF


def _paeth(left: int, up: int, corner: int) -> int:
    near = left + up - corner
    return min((left, up, corner), key=lambda one: abs(near - one))
