from __future__ import annotations

import ccxt
import pytest

from shared.exchanges.addresses import redirected, without_query

LOCAL = "http://127.0.0.1:9650"


@pytest.mark.parametrize(
    ("url", "there"),
    [
        ("https://fapi.binance.com/fapi/v1", f"{LOCAL}/fapi/v1"),
        ("https://api.{hostname}", LOCAL),
        ("https://api.example:8443/v5?a=https://b/c", f"{LOCAL}/v5?a=https://b/c"),
        ("wss://stream.example/ws", "ws://127.0.0.1:9650/ws"),
        ("not an address", "not an address"),
    ],
)
def test_scheme_and_host_are_replaced_and_nothing_else(url: str, there: str) -> None:
    assert redirected(url, LOCAL) == there


def test_a_websocket_is_as_safe_as_the_rest() -> None:
    assert redirected("wss://a/ws", "https://b") == "wss://b/ws"


@pytest.mark.parametrize("name", ["binance", "binanceusdm", "bybit", "okx"])
def test_every_address_of_a_venue_leads_to_the_other_host(name: str) -> None:
    def leaves(urls: object) -> list[str]:
        if isinstance(urls, dict):
            return [leaf for one in urls.values() for leaf in leaves(one)]
        return [str(urls)]

    found = leaves(redirected(getattr(ccxt, name)().urls["api"], LOCAL))
    assert found
    assert all(url.startswith(LOCAL) for url in found)


def test_urls_of_ccxt_pro_are_nested() -> None:
    urls = {"ws": {"public": {"spot": "wss://a/v5"}, "list": ["wss://b/x"]}, "rest": "https://c"}
    assert redirected(urls, LOCAL) == {
        "ws": {"public": {"spot": "ws://127.0.0.1:9650/v5"}, "list": ["ws://127.0.0.1:9650/x"]},
        "rest": LOCAL,
    }


def test_what_is_signed_is_cut_off() -> None:
    assert without_query("https://a/b?signature=c?d") == "https://a/b"
