"""Websockets of one event loop, each from the address that its account is pinned to.

A connection belongs to one account, so nothing is shared between two but the loop. aiohttp's own
answers to pings are off: what is heard, and when, is for the caller to know.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from shared.errors import FleetError
from shared.exchanges.addresses import redirected
from shared.exchanges.errors import VenueAway

SECONDS = aiohttp.ClientTimeout(total=None, sock_connect=5)
CLOSE = aiohttp.ClientWSTimeout(ws_close=2.0)
MESSAGE_BYTES = 1 << 20

Socket = aiohttp.ClientWebSocketResponse


class Sockets:
    """egresses, url: as of `client.Exchanges`. Not thread-safe."""

    def __init__(self, egresses: Mapping[str, str | None], *, url: str | None = None) -> None:
        self._egresses = egresses
        self._url = url
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def open(self, url: str, egress: str) -> Socket:
        """Raises VenueAway; its text shows nothing of `url`, which may hold a listen key."""
        to = redirected(url, self._url) if self._url else url
        try:
            return await self._session(egress).ws_connect(
                to, autoping=False, autoclose=False, max_msg_size=MESSAGE_BYTES, timeout=CLOSE
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failed = type(error).__name__
        raise VenueAway(f"the user stream cannot be opened ({failed})")

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    def _session(self, egress: str) -> aiohttp.ClientSession:
        found = self._sessions.get(egress)
        if found is None:
            if egress not in self._egresses:
                raise FleetError(f"FLEET_EGRESS does not name the address {egress!r}")
            address = self._egresses[egress]
            found = self._sessions[egress] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    local_addr=(address, 0) if address else None, limit=0
                ),
                timeout=SECONDS,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return found
