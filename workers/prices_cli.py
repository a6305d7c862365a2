"""`fleet prices`: stored prices, which mark positions and convert amounts."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.ledger.money import plain
from shared.mysql.connection import connect, transaction
from shared.mysql.prices import newest_prices, record_prices
from workers.price_files import PriceFileError, read_prices
from workers.roles import load_settings

LIST_ROWS = 50
console = Console()


@click.group("prices")
def prices_group() -> None:
    """Prices of instruments, each with its moment, kind and source."""


@prices_group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def prices_import(file: Path) -> None:
    """Record the prices of a CSV FILE, all of them or none.

    Its header is venue,product,instrument,kind,at,price and perhaps ,base_asset,quote_asset: with
    both assets a price converts amounts, too. A price of the same instrument, kind and moment is
    replaced, so a file can be imported again.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            prices = read_prices(lines)
    except UnicodeDecodeError as error:
        raise PriceFileError(f"{file.name} is no UTF-8 text: {error}") from error
    with closing(connect(load_settings("cli").mysql)) as connection, transaction(connection):
        record_prices(connection, prices)
    click.echo(f"{len(prices)} prices recorded")


@prices_group.command("list")
@click.option("--venue", default="")
@click.option("--instrument", default="")
@click.option("--limit", default=LIST_ROWS, show_default=True)
def prices_list(venue: str, instrument: str, limit: int) -> None:
    """The newest price of every instrument and kind."""
    with closing(connect(load_settings("cli").mysql)) as connection:
        found = newest_prices(connection, venue, instrument, limit)
    table = Table("venue", "product", "instrument", "kind", "at", "price", "pair", "source")
    for one in found:
        pair = f"{one.base_asset}/{one.quote_asset}" if one.base_asset and one.quote_asset else ""
        table.add_row(
            escape(one.venue), one.product, escape(one.instrument), one.kind,
            one.at.isoformat(sep=" ").replace("+00:00", "Z"), plain(one.price), escape(pair),
            one.source,
        )  # fmt: skip
    console.print(table)


COMMANDS = (prices_group,)
