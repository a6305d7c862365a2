"""Orders: joins reports into rows. An order known by the client's id alone moves under the venue's
id as soon as any report carries both.

One client id per order and one order per client id is assumed, within account, product and
instrument; a venue that lets client ids be used again gets the reports without a venue id at the
smallest order id.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from shared.ledger.orders import RANKS, OrderReport, join, order_row_key
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("book_orders.sql"))

# (account_id, product, instrument, order_key) and, for links, the client's id in place of the key
OrderKey = tuple[int, str, str, str]


def record_orders(rows: Rows, reports: Iterable[OrderReport]) -> None:
    orders: dict[OrderKey, OrderReport] = {}
    for report in reports:
        _join_into(orders, (*report[:3], order_row_key(report)), report)
    absorbed = _link(rows, orders)
    rows.write(SQL["join_orders"], (_row(key[3], orders[key]) for key in sorted(orders)))
    rows.change(SQL["remove_orders"], sorted(absorbed))


def _link(rows: Rows, orders: dict[OrderKey, OrderReport]) -> list[OrderKey]:
    """Moves what is known by the client's id only to the venue's id; returns the stored rows so
    emptied.
    """
    by_client = {key: order for key, order in orders.items() if order.order_id is None}
    links: dict[OrderKey, str] = {}
    for order in orders.values():
        if order.order_id is not None and order.client_order_id is not None:
            _link_smallest(links, (*order[:3], order.client_order_id), order.order_id)
    for row in rows.read(SQL["read_links"], sorted((*k[:3], k[3][2:]) for k in by_client)):
        _link_smallest(links, row[:4], row[4])
    for key, order in by_client.items():
        order_id = links.get((*key[:3], key[3][2:]))
        if order_id is not None:
            del orders[key]
            _join_into(orders, (*key[:3], "o:" + order_id), order._replace(order_id=order_id))
    absorbed = []
    client_keys = sorted((*link[:3], "c:" + link[3]) for link in links)
    for row in rows.read(SQL["read_orders"], client_keys):
        order = OrderReport._make(row)
        client_id = str(order.client_order_id)
        order_id = links[(*order[:3], client_id)]
        _join_into(orders, (*order[:3], "o:" + order_id), order._replace(order_id=order_id))
        absorbed.append((*order[:3], "c:" + client_id))
    return absorbed


def _join_into(orders: dict[OrderKey, OrderReport], key: OrderKey, order: OrderReport) -> None:
    known = orders.get(key)
    orders[key] = order if known is None else join(known, order)


def _link_smallest(links: dict[OrderKey, str], client: OrderKey, order_id: str) -> None:
    links[client] = min(order_id, links.get(client, order_id))


def _row(order_key: str, order: OrderReport) -> tuple[object, ...]:
    return (*order[:3], order_key, *order[3:], RANKS[order.state])
