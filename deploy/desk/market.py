"""A simulated market: seeded fills, orders, cash and signals as Laravel would write them.

Nothing here knows the ledger. The same seed gives the same events; amounts are decimal text.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

DAY_MS = 86_400_000
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
LINEAR = {"BTCUSDT": Decimal(64_000), "ETHUSDT": Decimal(3_200), "SOLUSDT": Decimal(150)}
SPOT = {"BTC-USDT": Decimal(64_000), "ETH-USDT": Decimal(3_200)}


@dataclass(frozen=True)
class Line:
    """One event on its way: what `desk:feed` reads."""

    stream: str
    type: str
    key: str
    id: str
    ts_us: str
    data: str

    def as_json(self) -> str:
        return json.dumps(self.__dict__, separators=(",", ":"))


class Market:
    """Makes events. days: the fills are spread over so many UTC days."""

    def __init__(self, seed: int, accounts: int, days: int = 5) -> None:
        self._random = random.Random(seed)
        self._accounts = accounts
        self._days = days
        self._trade = 0
        self._prices = {**LINEAR, **SPOT}

    def lines(self, fills: int) -> Iterator[Line]:
        """`fills` fills with the orders, funding, transfers and signals that go with them."""
        step = max(self._days * DAY_MS // max(fills, 1), 1)
        for number in range(fills):
            at_ms = START_MS + number * step + self._random.randrange(step)
            account = self._random.randrange(1, self._accounts + 1)
            fill = self._fill(account, at_ms)
            yield self.line("orders", "order.filled.1", str(account), at_ms, fill)
            chance = self._random.random()
            if chance < 0.05:
                yield self.line("orders", "cash.moved.1", str(account), at_ms,
                                self._funding(account, at_ms))
            elif chance < 0.06:
                yield self.line("orders", "cash.moved.1", str(account), at_ms,
                                self._transfer(account, at_ms))
            elif chance < 0.16:
                yield self.line("orders", "order.placed.1", str(account), at_ms,
                                self._placed(account, fill, at_ms))
            elif chance < 0.17:
                yield self.line("signals", "signal.received.1", f"channel-{account % 7}", at_ms,
                                self._signal(account, at_ms))

    def line(self, stream: str, kind: str, key: str, at_ms: int, data: dict[str, Any]) -> Line:
        event_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        text = json.dumps(data, separators=(",", ":"))
        return Line(stream, kind, key, event_id, str(at_ms * 1000), text)

    def _fill(self, account: int, at_ms: int) -> dict[str, Any]:
        spot = account % 5 == 0
        hedge = account % 5 == 1
        names = list(SPOT if spot else LINEAR)
        instrument = names[self._random.randrange(len(names))]
        price = self._walk(instrument)
        qty = Decimal(self._random.randrange(1, 5000)) / 1000
        side = self._random.choice(("buy", "sell"))
        base = instrument.split("-")[0] if spot else None
        fee_asset = self._random.choice(("USDT", "USDT", "BNB", *((base,) if base else ())))
        fee: str | None = _text(Decimal(self._random.randrange(-50, 400)) / 10_000)
        if self._random.random() < 0.02:
            fee, fee_asset = None, None  # known later, by a revision
        self._trade += 1
        return {
            "account_id": account,
            "venue": "desk",
            "product": "spot" if spot else "linear",
            "instrument": instrument,
            "position_side": self._random.choice(("long", "short")) if hedge else "net",
            "trade_id": str(self._trade),
            "order_id": f"o{self._trade // 3}",
            "side": side,
            "qty": _text(qty),
            "price": _text(price),
            "fee": fee,
            "fee_asset": fee_asset,
            "settle_asset": "USDT",
            "base_asset": base,
            "quote_asset": "USDT" if spot else None,
            "executed_at_ms": at_ms,
            "source": "laravel",
        }

    def revision(self, fill: dict[str, Any]) -> dict[str, Any]:
        """The same fill again, its commission known now."""
        return {**fill, "fee": "0.0123", "fee_asset": "USDT", "revision": 2, "source": "sync"}

    def _walk(self, instrument: str) -> Decimal:
        move = Decimal(self._random.randrange(-20, 21)) / 10_000
        self._prices[instrument] = (self._prices[instrument] * (1 + move)).quantize(Decimal("0.01"))
        return self._prices[instrument]

    def _funding(self, account: int, at_ms: int) -> dict[str, Any]:
        self._trade += 1
        return {
            "account_id": account, "venue": "desk", "asset": "USDT",
            "amount": _text(Decimal(self._random.randrange(-9000, 9000)) / 10_000),
            "kind": "funding", "venue_type": "FUNDING_FEE", "ref": f"f{self._trade}",
            "instrument": self._random.choice(list(LINEAR)), "at_ms": at_ms,
        }

    def _transfer(self, account: int, at_ms: int) -> dict[str, Any]:
        self._trade += 1
        return {
            "account_id": account, "venue": "desk", "asset": "USDT",
            "amount": _text(Decimal(self._random.randrange(1, 900))),
            "kind": self._random.choice(("transfer_in", "rebate", "bonus", "commission")),
            "venue_type": "TRANSFER", "ref": f"t{self._trade}", "instrument": "", "at_ms": at_ms,
        }

    def _placed(self, account: int, fill: dict[str, Any], at_ms: int) -> dict[str, Any]:
        return {
            "account_id": account, "venue": "desk", "product": fill["product"],
            "instrument": fill["instrument"], "order_id": fill["order_id"], "at_ms": at_ms - 5,
            "side": fill["side"], "order_type": "limit", "qty": fill["qty"], "price": fill["price"],
        }

    def _signal(self, account: int, at_ms: int) -> dict[str, Any]:
        self._trade += 1
        return {
            "source": "telegram", "channel_id": f"channel-{account % 7}",
            "message_id": str(self._trade), "revision": 1, "received_at_ms": at_ms,
            "text": "BTCUSDT long, entry 64000, stop 63000", "instrument": "BTCUSDT",
            "side": "long", "intent": "open", "stop": "63000",
            "entry": {"type": "limit", "prices": ["64000"]},
            "targets": [{"price": "66000", "fraction": "1"}],
        }


def troubled(lines: list[Line], market: Market, seed: int) -> list[Line]:
    """The same events as a bad day delivers them: late, twice, shuffled nearby, fees corrected."""
    rng = random.Random(seed)
    out: list[tuple[float, Line]] = []
    for place, line in enumerate(lines):
        chance = rng.random()
        late = rng.uniform(0, 400) if chance < 0.05 else 0.0
        out.append((place + late, line))
        if chance > 0.97:
            out.append((place + rng.uniform(0, 300), line))
        if line.type == "order.filled.1":
            fill = json.loads(line.data)
            if fill["fee"] is None:
                again = market.line(line.stream, line.type, line.key, fill["executed_at_ms"],
                                    market.revision(fill))
                out.append((place + rng.uniform(-50, 300), again))
    return [line for _, line in sorted(out, key=lambda pair: pair[0])]


def _text(value: Decimal) -> str:
    return format(value, "f")
