"""Prices from a CSV file: every line is looked at before the first one is recorded."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

from shared.errors import FleetError
from shared.ledger.valuation import KINDS
from shared.mysql.prices import StoredPrice
from workers.events.amounts import UNSIGNED
from workers.events.texts import CLEAN

COLUMNS = ("venue", "product", "instrument", "kind", "at", "price")
ASSETS = ("base_asset", "quote_asset")
PRODUCTS = ("linear", "inverse", "spot")
SOURCE = "import"
ERRORS_SHOWN = 20

_WIDTHS = {"venue": 32, "instrument": 64, "base_asset": 32, "quote_asset": 32}


class PriceFileError(FleetError):
    """The file cannot be imported; the message names the lines."""


def read_prices(lines: Iterable[str]) -> list[StoredPrice]:
    """Prices of a CSV file with a header: venue, product, instrument, kind, at, price, and perhaps
    base_asset and quote_asset. `at` is ISO 8601 with its zone.

    Raises PriceFileError with the errors of the first lines that have any.
    """
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    if tuple(header) not in {COLUMNS, (*COLUMNS, *ASSETS)}:
        raise PriceFileError(
            f"line 1: the header must be {','.join(COLUMNS)} with or without ,{','.join(ASSETS)}"
        )
    prices: dict[tuple[object, ...], tuple[int, StoredPrice]] = {}
    errors: list[str] = []
    try:
        for values in reader:
            if values:
                found = list(_errors(header, values))
                errors += [f"line {reader.line_num}: {error}" for error in found]
                if not found:
                    _keep(prices, errors, reader.line_num, _price(header, values))
            if len(errors) >= ERRORS_SHOWN:
                break
    except csv.Error as error:
        errors.append(f"line {reader.line_num}: {error}")
    if errors:
        raise PriceFileError("nothing was imported\n" + "\n".join(errors))
    return [price for _, price in prices.values()]


def _keep(
    prices: dict[tuple[object, ...], tuple[int, StoredPrice]],
    errors: list[str],
    line: int,
    price: StoredPrice,
) -> None:
    """Of one moment an instrument has one price of a kind."""
    first, other = prices.setdefault(price[:5], (line, price))
    if other != price:
        errors.append(f"line {line}: another price of the same moment stands in line {first}")


def _errors(header: list[str], values: list[str]) -> Iterator[str]:
    if len(values) != len(header):
        yield f"{len(values)} fields where the header has {len(header)}"
        return
    told = dict(zip(header, values, strict=True))
    for name, width in _WIDTHS.items():
        text = told.get(name, "")
        if (text or name not in ASSETS) and not (len(text) <= width and re.fullmatch(CLEAN, text)):
            yield f"{name} must be 1 to {width} characters without spaces around it, not {text!r}"
    if bool(told.get("base_asset")) != bool(told.get("quote_asset")):
        yield "base_asset and quote_asset belong together"
    if told["product"] not in PRODUCTS:
        yield f"product must be one of {', '.join(PRODUCTS)}, not {told['product']!r}"
    if told["kind"] not in KINDS:
        yield f"kind must be one of {', '.join(KINDS)}, not {told['kind']!r}"
    if _moment(told["at"]) is None:
        yield f"at must be like 2026-07-01T08:00:00Z, not {told['at']!r}"
    if not re.fullmatch(UNSIGNED, told["price"]) or not Decimal(told["price"]):
        yield f"price must be a plain decimal above zero, not {told['price']!r}"


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        return None if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _price(header: list[str], values: list[str]) -> StoredPrice:
    told = dict(zip(header, values, strict=True))
    at = _moment(told["at"])
    if at is None:
        raise ValueError("a line with errors has no price")
    return StoredPrice(
        told["venue"], told["product"], told["instrument"], told["kind"], at,
        Decimal(told["price"]), told.get("base_asset") or None, told.get("quote_asset") or None,
        SOURCE,
    )  # fmt: skip
