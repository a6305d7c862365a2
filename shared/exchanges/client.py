"""The effect of a reading: its requests are paid for, signed, sent, and answered.

    exchanges = Exchanges(limits, {"default": None}, url=settings.exchange_url)
    page = await exchanges.read(venue, venue.readings["fills"](account, cursor), caller)

Everything here only reads, so what fails in between is asked again; how often is bounded.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, NamedTuple, TypeVar

from shared.errors import FleetError
from shared.exchanges.connection import Connection, MarketsOfVenue
from shared.exchanges.errors import Refused
from shared.exchanges.http import Http
from shared.exchanges.keys import Keys
from shared.exchanges.limits import UNDER_WAY, Limits, Priority
from shared.exchanges.markets import Markets
from shared.exchanges.venue import Product, Request, Venue

T = TypeVar("T")


class Caller(NamedTuple):
    """For whom is asked. keys: None for what needs no signature. egress: the address that the
    account is pinned to. patience_ms: longest wait for weight before Throttled is raised.
    """

    account_id: int
    keys: Keys | None
    egress: str = "default"
    priority: Priority = "fresh"
    patience_ms: int = 120_000


class Exchanges:
    """Connections of one event loop to every venue. Not thread-safe.

    egresses: name -> local address, None: not bound. url: scheme and host instead of every venue's
    own. Markets are held once per venue, whatever the address.
    """

    def __init__(
        self, limits: Limits, egresses: Mapping[str, str | None], *, url: str | None = None
    ) -> None:
        self._limits = limits
        self._egresses = egresses
        self._url = url
        self._https: dict[str, Http] = {}
        self._connections: dict[tuple[str, str], Connection] = {}
        self._markets: dict[tuple[str, str], MarketsOfVenue] = {}

    async def read(
        self, venue: Venue, reading: Generator[Request, Any, T], caller: Caller
    ) -> T:
        """What the reading returns: a Page, or Permissions.

        Raises the types of `errors.py`. A Refused is thrown into the reading first: one that asks
        for an order by its id may catch it (`missing`).
        """
        connection = self.connection(venue, caller.egress)
        try:
            request = next(reading)
            while True:
                refused = None
                try:
                    answer = await connection.ask(request, caller)
                except Refused as error:
                    refused = error
                request = reading.send(answer) if refused is None else reading.throw(refused)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            reading.close()

    async def now_ms(self, venue: Venue, egress: str = "default") -> int:
        """The venue's clock, of Account.now_ms."""
        return await self.connection(venue, egress).now_ms()

    async def markets(
        self, venue: Venue, egress: str = "default", wanted: tuple[Product, str] | None = None
    ) -> Markets:
        """For Account.markets: loaded once, then daily, or when `wanted` is not among them."""
        key = (venue.name, venue.ccxt_class)
        held = self._markets.setdefault(key, MarketsOfVenue())
        return await held.get(self.connection(venue, egress), wanted)

    def connection(self, venue: Venue, egress: str) -> Connection:
        """Of one address to one venue. Raises FleetError for an address that has no name here."""
        key = (venue.ccxt_class, egress)
        found = self._connections.get(key)
        if found is None:
            if egress not in self._egresses:
                raise FleetError(
                    f"an account is pinned to the address {egress!r}, which FLEET_EGRESS does not "
                    f"name; it names {', '.join(self._egresses)}"
                )
            address = self._egresses[egress]
            found = self._connections[key] = Connection(
                venue, self._limits.of(venue, egress), self._http(egress), address, self._url
            )
        return found

    async def close(self) -> None:
        """Ends the connections, and those of the limits."""
        for http in self._https.values():
            await http.close()
        await self._limits.close()

    def _http(self, egress: str) -> Http:
        found = self._https.get(egress)
        if found is None:
            found = self._https[egress] = Http(self._egresses[egress], UNDER_WAY)
        return found
