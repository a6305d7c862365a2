"""Identity as text: what a parked event and a break are known by. JSON arrays, so that no separator
inside a venue's own id can make two identities look alike.
"""

from __future__ import annotations

import json
from hashlib import blake2b


def fill_identity(account_id: int, product: str, instrument: str, trade_id: str, side: str) -> str:
    return _text("fill", account_id, product, instrument, trade_id, side)


def cash_identity(account_id: int, venue_type: str, ref: str, asset: str, instrument: str) -> str:
    return _text("cash", account_id, venue_type, ref, asset, instrument)


def signal_identity(source: str, channel_id: str, message_id: str, revision: int) -> str:
    return _text("signal", source, channel_id, message_id, revision)


def position_identity(account_id: int, product: str, instrument: str, position_side: str) -> str:
    return _text("position", account_id, product, instrument, position_side)


def balance_identity(account_id: int, asset: str, product: str) -> str:
    return _text("balance", account_id, asset, product)


def entry_identity(*key: str | int) -> str:
    """key: account_id, product, instrument, position_side, kind, ref."""
    return _text("entry", *key)


def check_identity(name: str, *where: str | int) -> str:
    """name: of the check; where: account, product, instrument, position side, day, asset."""
    return _text("identity", name, *where)


def observed_identity(*key: str | int) -> str:
    """key: of a position or a balance, and the watermark."""
    return _text("observed", *key)


def report_hash(data: str) -> bytes:
    """BLAKE2b-128 of the verbatim JSON: 16 bytes."""
    return blake2b(data.encode(), digest_size=16).digest()


def _text(*parts: str | int) -> str:
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
