"""What the desk may do with the exchange: accounts, trades, faults, the truth. JSON in and out.

Every method is also `POST /_desk/<its name>` with its arguments as a JSON object. Amounts are
text. Accounts are named by `venue` and `api_key`, markets by `product` and `symbol`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from deploy.exchange import books
from deploy.exchange.amounts import exact, plain
from deploy.exchange.exchange import Exchange
from deploy.exchange.faults import Fault
from deploy.exchange.state import Account, Entry, Fill, Product
from deploy.exchange.storm import storm


class Desk:
    """exchange: for tests in the same process, which may go beyond these verbs."""

    def __init__(self, exchange: Exchange, requests: Counter[str]) -> None:
        self.exchange = exchange
        self.requests = requests

    def do(self, verb: str, arguments: Mapping[str, Any]) -> Any:
        """KeyError: no such verb."""
        if verb.startswith("_") or verb not in VERBS:
            raise KeyError(f"no verb {verb}; there are {', '.join(VERBS)}")
        return getattr(self, verb)(**arguments)

    def account(self, venue: str, api_key: str) -> Account:
        """KeyError: there is none."""
        return self.exchange.accounts[venue, api_key]

    # -- accounts ----------------------------------------------------------------------------------

    def add_accounts(self, accounts: Iterable[Mapping[str, Any]]) -> int:
        """Each: venue, uid, api_key, secret; optional passphrase, products, hedge, withdraw,
        wallets ({product: {asset: amount}}, deposited now or at `at_ms`). How many.
        """
        added = 0
        for row in accounts:
            fields = {name: row[name] for name in row if name not in {"wallets", "at_ms"}}
            if "products" in fields:
                fields["products"] = tuple(fields["products"])
            account = self.exchange.add_account(Account(**fields))
            for product, assets in row.get("wallets", {}).items():
                for asset, amount in assets.items():
                    self.exchange.move(
                        account, "deposit", asset, amount, product=product, at_ms=row.get("at_ms")
                    )
            added += 1
        return added

    def change_account(self, venue: str, api_key: str, **fields: bool) -> None:
        """Set revoked, frozen, withdraw, hedge; or rotate: new_key and secret."""
        account = self.account(venue, api_key)
        for name, value in fields.items():
            if name not in {"revoked", "frozen", "withdraw", "hedge"}:
                raise ValueError(f"{name} cannot be changed")
            setattr(account, name, value)

    def rotate_key(self, venue: str, api_key: str, new_key: str, secret: str) -> None:
        """The old key is unknown from now on."""
        account = self.exchange.accounts.pop((venue, api_key))
        account.api_key, account.secret, account.revoked = new_key, secret, False
        self.exchange.add_account(account)

    # -- what happens ------------------------------------------------------------------------------

    def trade(  # noqa: PLR0917 - the order people say it in
        self,
        venue: str,
        api_key: str,
        product: Product,
        symbol: str,
        side: str,
        qty: str,
        price: str,
        *,
        repeat: int = 1,
        order_id: int | None = None,
        self_trade: bool = False,
        **rest: Any,
    ) -> list[int]:
        """Trade ids of `repeat` equal fills. self_trade: each also the other way, with the same id.

        rest: at_ms, position_side, fee, fee_asset, fee_known, maker, kind, client_order_id, hidden.
        """
        account = self.account(venue, api_key)
        market = self.exchange.market(venue, product, symbol)
        order = account.orders[order_id] if order_id else None
        made = []
        for _ in range(repeat):
            fill = self.exchange.trade(account, market, side, qty, price, order=order, **rest)
            made.append(fill.trade_id)
            if self_trade:
                other = "sell" if side == "buy" else "buy"
                self.exchange.trade(
                    account, market, other, qty, price, trade_id=fill.trade_id, **rest
                )
        return made

    def settle_fees(self, venue: str, api_key: str, fee: str, asset: str = "") -> int:
        """Every fill of the account whose fee is not known gets this one. How many."""
        account = self.account(venue, api_key)
        waiting = [fill for fill in account.fills if fill.fee is None]
        for fill in waiting:
            self.exchange.settle_fee(account, fill, fee, asset)
        return len(waiting)

    def fund(self, venue: str, api_key: str, product: Product, symbol: str, **rest: Any) -> str:
        """The amount received. rest: rate or amount, asset, position_side, at_ms."""
        market = self.exchange.market(venue, product, symbol)
        return plain(self.exchange.fund(self.account(venue, api_key), market, **rest).funding)

    def move(
        self, venue: str, api_key: str, kind: str, asset: str, amount: str, **rest: Any
    ) -> int:
        """Deposits, withdrawals, transfers, bonuses, ... (`Entry.kind`). Its ref.

        rest: product (whose wallet), symbol, at_ms, note, hidden.
        """
        account = self.account(venue, api_key)
        symbol = rest.pop("symbol", None)
        if symbol:
            product = rest.get("product") or account.products[0]
            rest["market"] = self.exchange.market(venue, product, symbol)
        return self.exchange.move(account, kind, asset, amount, **rest).ref

    def transfer(
        self,
        venue: str,
        api_key: str,
        asset: str,
        amount: str,
        *,
        from_: Product,
        to: Product,
        at_ms: int | None = None,
    ) -> None:
        """Between the account's own wallets."""
        account, when = self.account(venue, api_key), at_ms or self.exchange.now_ms(venue)
        moved = exact(amount)
        for kind, product, signed in (("transfer_out", from_, -moved), ("transfer_in", to, moved)):
            self.exchange.move(account, kind, asset, signed, product=product, at_ms=when)

    def place(  # noqa: PLR0917 - the order people say it in
        self,
        venue: str,
        api_key: str,
        product: Product,
        symbol: str,
        side: str,
        qty: str,
        price: str = "0",
        **rest: Any,
    ) -> int:
        """An open order; its id. rest: type_, position_side, client_order_id, reduce_only, ..."""
        market = self.exchange.market(venue, product, symbol)
        account = self.account(venue, api_key)
        return self.exchange.place(account, market, side, qty, price, **rest).order_id

    def cancel(self, venue: str, api_key: str, order_id: int) -> None:
        account = self.account(venue, api_key)
        self.exchange.cancel(account, account.orders[order_id])

    def mark(self, venue: str, product: Product, symbol: str, price: str) -> None:
        """Set the mark price."""
        self.exchange.market(venue, product, symbol).mark = exact(price)

    def storm(self, seed: int, trades: int, **rest: Any) -> dict[str, int]:
        """Random trades, funding and transfers over all accounts; see `storm.py`."""
        return storm(self.exchange, seed, trades, **rest)

    # -- what goes wrong ---------------------------------------------------------------------------

    def fault(self, kind: str, **rest: Any) -> None:
        """A fault of the next answers; fields of `faults.Fault`."""
        self.exchange.faults.set(Fault(kind, **rest))

    def clear_faults(self) -> None:
        """Also clocks, stale snapshots, rows held back and streams."""
        self.exchange.faults.clear()
        self.exchange.streams.clear_faults()
        self.exchange.skew_ms.clear()
        for account in self.exchange.accounts.values():
            account.stale = None
            self._show(account)

    def skew(self, venue: str, milliseconds: int) -> None:
        """Put the venue's clock off."""
        self.exchange.skew_ms[venue] = milliseconds

    def freeze_snapshot(self, venue: str, api_key: str) -> None:
        """Balances and positions are answered as of now until `thaw_snapshot`."""
        account = self.account(venue, api_key)
        account.stale = books.taken(account)

    def thaw_snapshot(self, venue: str, api_key: str) -> None:
        self.account(venue, api_key).stale = None

    def show_late(self, venue: str, api_key: str) -> int:
        """Rows that were booked `hidden` appear now, with their old time. How many."""
        return self._show(self.account(venue, api_key))

    @staticmethod
    def _show(account: Account) -> int:
        rows: list[Fill | Entry] = [*account.fills, *account.entries]
        late = [row for row in rows if row.hidden]
        for row in late:
            row.hidden = False
        return len(late)

    def stream_fault(self, kind: str, venue: str, api_key: str = "") -> int:
        """A fault of the streams that are open now, of an account or of all; how many.

        kind: one of `streams.FAULTS`.
        """
        return self.exchange.streams.fault(kind, venue, api_key)

    def streams(self, venue: str, api_key: str = "") -> list[list[str]]:
        """Open streams, each as what it subscribed to."""
        return [sorted(stream.subjects) for stream in self.exchange.streams.of(venue, api_key)]

    # -- the truth ---------------------------------------------------------------------------------

    def truth(self, venue: str, api_key: str) -> dict[str, Any]:
        """What is booked: wallets {pocket: {asset}}, positions, fills; exact, hidden ones too.

        entries: how many; last_ms: the newest movement.
        """
        account = self.account(venue, api_key)
        wallets: dict[str, dict[str, str]] = {}
        for (pocket, asset), amount in account.live.wallets.items():
            wallets.setdefault(pocket, {})[asset] = plain(amount)
        positions = [
            {
                "product": product, "symbol": symbol, "side": side,
                "settle": held.market.settle, "qty": plain(held.qty),
                "entry": plain(held.entry), "realized": plain(held.realized),
                "fees": plain(held.fees), "funding": plain(held.funding),
            }
            for (product, symbol, side), held in account.live.positions.items()
        ]  # fmt: skip
        return {
            "wallets": wallets,
            "positions": positions,
            "fills": [_true_fill(fill) for fill in account.fills],
            "entries": len(account.entries),
            "last_ms": max((entry.at_ms for entry in account.entries), default=0),
        }

    def statistics(self) -> dict[str, Any]:
        """Requests by "METHOD path status"; used weight by window, by (budget, who); refusals."""
        windows = self.exchange.limiter.windows
        return {
            "requests": dict(self.requests),
            "refused": dict(self.exchange.limiter.refused),
            "windows": {
                f"{budget} {who}": {str(start): used for start, used in window.totals.items()}
                for (budget, who), window in windows.items()
            },
        }

    def forget_statistics(self) -> None:
        """Start counting again; what is used of a window stays used."""
        self.requests.clear()
        self.exchange.limiter.refused.clear()
        for window in self.exchange.limiter.windows.values():
            window.totals.clear()


def _true_fill(fill: Fill) -> dict[str, Any]:
    return {
        "product": fill.market.product, "symbol": fill.market.symbol, "base": fill.market.base,
        "quote": fill.market.quote, "settle": fill.market.settle, "trade_id": fill.trade_id,
        "side": fill.side, "qty": plain(fill.qty), "price": plain(fill.price),
        "position_side": fill.position_side, "realized": plain(fill.realized),
        "fee": None if fill.fee is None else plain(fill.fee), "fee_asset": fill.fee_asset,
        "at_ms": fill.at_ms, "kind": fill.kind,
    }  # fmt: skip


VERBS = (
    "add_accounts", "change_account", "rotate_key", "trade", "settle_fees", "fund", "move",
    "transfer", "place", "cancel", "mark", "storm", "fault", "clear_faults", "skew",
    "freeze_snapshot", "thaw_snapshot", "show_late", "stream_fault", "streams", "truth",
    "statistics", "forget_statistics",
)  # fmt: skip
