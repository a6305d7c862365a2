"""What streams may use of Redis, and for how long: sizes and spans as people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from shared.errors import SettingsError

_UNITS = {"": 1, "b": 1, "k": 10**3, "kb": 2**10, "m": 10**6, "mb": 2**20, "g": 10**9, "gb": 2**30}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


class RedisBudget(NamedTuple):
    """What streams may use: a share of maxmemory, or bytes. Exactly one is set."""

    share: Decimal | None
    bytes: int | None

    def limit(self, maxmemory: int) -> int | None:
        """Bytes; None when it is a share and Redis has no maxmemory (0)."""
        if self.share is None:
            return self.bytes
        return int(maxmemory * self.share) if maxmemory else None


def parse_budget(text: str) -> RedisBudget:
    """`25%` of maxmemory, or bytes with Redis' own units (`512mb`, `2gb`, `1073741824`)."""
    share = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*%", text.strip(), re.ASCII)
    if share and 0 < Decimal(share[1]) <= 100:  # noqa: PLR2004 - per cent
        return RedisBudget(Decimal(share[1]) / 100, None)
    size = re.fullmatch(r"(\d+)\s*([a-z]{0,2})", text.strip().lower(), re.ASCII)
    if size and size[2] in _UNITS and int(size[1]):
        return RedisBudget(None, int(size[1]) * _UNITS[size[2]])
    raise SettingsError("FLEET_REDIS_BUDGET: write a share as 25% or a size as 512mb, 2gb or bytes")


def parse_retention(text: str) -> timedelta:
    """`24h`, `90m`, `7d`, `45s`, or seconds."""
    found = re.fullmatch(r"(\d{1,9})\s*([smhd]?)", text.strip().lower(), re.ASCII)
    if not found or not int(found[1]):
        raise SettingsError("FLEET_STREAM_RETENTION: write 24h, 90m, 7d or a number of seconds")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
