"""Where a venue is: another host in front of every path, for the local exchange."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_HOST = re.compile(r"^(https?|wss?)://[^/]*")
_WEBSOCKET = {"http": "ws", "https": "wss"}


def redirected(urls: Any, base: str) -> Any:
    """The same nest of addresses (ccxt's `urls["api"]`) with scheme and host of `base`.

    base: `http://127.0.0.1:9000`. Websocket addresses become `ws://` or `wss://`. Anything that is
    no address stays as it is.
    """
    if isinstance(urls, str):
        return _HOST.sub(lambda found: _base(found[1], base), urls)
    if isinstance(urls, Mapping):
        return {name: redirected(one, base) for name, one in urls.items()}
    if isinstance(urls, list | tuple):
        return [redirected(one, base) for one in urls]
    return urls


def without_query(url: str) -> str:
    return url.partition("?")[0]


def _base(scheme: str, base: str) -> str:
    to = urlsplit(base)
    return f"{to.scheme if scheme.startswith('http') else _WEBSOCKET[to.scheme]}://{to.netloc}"
