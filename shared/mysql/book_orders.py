"""Orders: joins reports into rows. An order known by the client's id alone moves under the venue's
id as soon as any report carries both.

One client id per order and one order per client id is assumed, within account, product and
instrument; a venue that lets client ids be used again gets the reports without a venue id at the
smallest order id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from shared.ledger.days import day_of, day_text
from shared.ledger.orders import RANKS, OrderReport, join, order_row_key
from shared.mysql.book_rows import Rows
from shared.queries import load

SQL = load(Path(__file__).with_name("book_orders.sql"))

# (account_id, product, instrument, order_key) and, for links, the client's id in place of the key
OrderKey = tuple[int, str, str, str]


def record_orders(rows: Rows, reports: Iterable[OrderReport]) -> None:
    """Joins reports into rows. Where one says anew what an order belongs to (see
    shared/ledger/attribution.py), the days of its fills are due for attribution again.
    """
    orders: dict[OrderKey, OrderReport] = {}
    for report in reports:
        _join_into(orders, (*report[:3], order_row_key(report)), report)
    links = _link(rows, orders)
    absorbed = {(*client[:3], "c:" + client[3]): "o:" + links[client] for client in links}
    told = {key for key, order in orders.items() if _belongs(order) != _NOWHERE}
    wanted = {*absorbed, *told, *((*key[:3], target) for key, target in absorbed.items())}
    stored = {
        (*order[:3], order_row_key(order)): order
        for order in map(OrderReport._make, rows.read(SQL["read_orders"], sorted(wanted)))
    }
    moved = {key: target for key, target in absorbed.items() if key in stored}
    for key, target in moved.items():
        order = stored[key]._replace(order_id=target[2:])
        _join_into(orders, (*key[:3], target), order)
    _attribute_again(rows, orders, stored, moved)
    rows.write(SQL["join_orders"], (_row(key[3], orders[key]) for key in sorted(orders)))
    rows.change(SQL["remove_orders"], sorted(moved))


def _belongs(order: OrderReport) -> tuple[str | None, str | None, bool]:
    """What the attribution of its fills looks at."""
    return order.signal_id, order.strategy, order.client_order_id is not None


_NOWHERE = (None, None, False)


def _attribute_again(
    rows: Rows,
    orders: Mapping[OrderKey, OrderReport],
    stored: Mapping[OrderKey, OrderReport],
    moved: Mapping[OrderKey, str],
) -> None:
    """The days of fills that are booked already; those that come now are due by themselves."""
    days = set()
    for key, before in stored.items():
        target = (*key[:3], moved.get(key, key[3]))
        after = orders.get(target, before)
        if target in stored:
            after = join(stored[target], after)
        first, last = before.first_fill_ms, before.last_fill_ms
        if first is not None and last is not None and _belongs(after) != _belongs(before):
            days.add((*key[:3], day_text(day_of(first)), day_text(day_of(last))))
    for one in sorted(days):
        rows.run(SQL["attribute_again"], one)


def _link(rows: Rows, orders: dict[OrderKey, OrderReport]) -> dict[OrderKey, str]:
    """Moves what is known by the client's id only to the venue's id; returns the links known now,
    client's id to venue's id.
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
    return links


def _join_into(orders: dict[OrderKey, OrderReport], key: OrderKey, order: OrderReport) -> None:
    known = orders.get(key)
    orders[key] = order if known is None else join(known, order)


def _link_smallest(links: dict[OrderKey, str], client: OrderKey, order_id: str) -> None:
    links[client] = min(order_id, links.get(client, order_id))


def _row(order_key: str, order: OrderReport) -> tuple[object, ...]:
    return (*order[:3], order_key, *order[3:], RANKS[order.state])
