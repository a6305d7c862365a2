"""Values as PostgreSQL's COPY reads them: text, tabs between, one line a row."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

NULL = "\\N"
TRUE, FALSE = "t", "f"
LAST_ROW = 2**63 - 1

_SPECIAL = str.maketrans(
    {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\N{REPLACEMENT CHARACTER}"}
)
_special = re.compile(r"[\\\t\n\r\0]").search
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def line(cells: Iterable[str]) -> str:
    return "\t".join(cells) + "\n"


def text(value: str) -> str:
    """A text column; U+0000, which PostgreSQL has no place for, becomes U+FFFD."""
    return value.translate(_SPECIAL) if _special(value) else value


def boolean(value: object) -> str:
    return TRUE if value else FALSE


def json(value: Any) -> str:
    """A jsonb column. A text with U+0000 in it, which jsonb refuses, becomes {"$utf8": base64}."""
    encoded = orjson.dumps(value)
    if b"\\u0000" in encoded:
        encoded = orjson.dumps(_without_zero(value))
    if b"\\" in encoded:
        encoded = encoded.replace(b"\\", b"\\\\")
    return encoded.decode()


def moment(microseconds: int) -> str:
    """A timestamptz, from microseconds since 1970 UTC."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat()


def _without_zero(value: Any) -> Any:
    if isinstance(value, str):
        return {"$utf8": base64.b64encode(value.encode()).decode()} if "\0" in value else value
    if isinstance(value, dict):
        return {name: _without_zero(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_zero(one) for one in value]
    return value
