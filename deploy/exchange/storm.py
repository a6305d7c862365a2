"""Random trading over many accounts, the same for the same seed.

Prices walk by ticks; accounts buy, sell, turn, are liquidated, pay in several assets, get funding
and transfers. Everything an account can do appears, so that books which tie after it mean
something.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING

from deploy.exchange.amounts import ZERO, exact, plain
from deploy.exchange.books import pocket_of
from deploy.exchange.state import Account, Market, PositionSide

if TYPE_CHECKING:
    from deploy.exchange.exchange import Exchange

THIRD_ASSET = "BNB"
FUNDING, TRANSFER, ORDER = 0.05, 0.08, 0.14
"""Of ten thousand steps 500 are funding, 300 transfers, 600 of resting orders."""
MOST_ORDERS = 5
LEAST = Fraction(10_000)
"""A wallet with less gets more before it trades."""
WITHDRAWAL_FEE = Fraction(3, 2)
TURN, CLOSE, REBATE, THIRD = 0.5, 0.1, 0.1, 0.1


def storm(
    exchange: Exchange,
    seed: int,
    trades: int,
    *,
    venue: str = "",
    api_keys: list[str] | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
) -> dict[str, int]:
    """So many steps, between from_ms and to_ms (now, if not said); what happened, counted.

    Nothing is answered meanwhile: a long one during traffic comes in pieces, each with its seed.
    """
    dice = Random(seed)  # noqa: S311 - the same storm for the same seed
    accounts = [
        account
        for (owner, key), account in exchange.accounts.items()
        if venue in {"", owner} and (api_keys is None or key in api_keys)
    ]
    counts: Counter[str] = Counter()
    for number in range(trades):
        account = dice.choice(accounts)
        now = exchange.now_ms(account.venue)
        first, last = from_ms or now, to_ms or now
        at_ms = first + (last - first) * number // max(1, trades - 1)
        market = dice.choice(exchange.markets_of(account.venue, *account.products))
        counts[_step(exchange, dice, account, market, at_ms)] += 1
    return dict(counts)


def _step(exchange: Exchange, dice: Random, account: Account, market: Market, at_ms: int) -> str:
    roll = dice.random()
    side = _side(dice, account, market)
    if roll < FUNDING and account.live.positions.get((market.product, market.symbol, side)):
        rate = Fraction(dice.randint(-30, 30), 100_000)
        exchange.fund(account, market, rate=rate, position_side=side, at_ms=at_ms)
        return "funding"
    pocket = pocket_of(exchange.rules[account.venue], market.product)
    wallet = account.live.wallets.get((pocket, market.settle or market.quote), ZERO)
    amount = Fraction(dice.randint(1, 99_999_999), 10**6)
    if wallet < LEAST or (roll < TRANSFER and wallet < LEAST + amount):
        return _move(exchange, account, market, amount + LEAST * 10, at_ms)
    if roll < TRANSFER:
        return _move(exchange, account, market, dice.choice((1, -1)) * amount, at_ms)
    if roll < ORDER:
        return _order(exchange, dice, account, market, at_ms)
    _trade(exchange, dice, account, market, at_ms)
    return "trade"


def _order(exchange: Exchange, dice: Random, account: Account, market: Market, at_ms: int) -> str:
    """A resting buy is placed, or one that rests is filled, in parts or whole, or canceled."""
    resting = list(account.open_orders.values())
    if not resting or (len(resting) < MOST_ORDERS and dice.random() < TURN):
        tick = exact(market.tick)
        price = max(tick, market.mark * 4 / 5 // tick * tick)
        side: PositionSide = "long" if _side(dice, account, market) != "net" else "net"
        qty = exact(market.step) * dice.randint(1, 200)
        exchange.place(account, market, "buy", qty, price, position_side=side, at_ms=at_ms)
        return "placed"
    order = dice.choice(resting)
    if dice.random() < TURN:
        exchange.cancel(account, order)
        return "canceled"
    step, left = exact(order.market.step), order.qty - order.filled
    qty = left if left < 2 * step or dice.random() < TURN else left / step // 2 * step
    exchange.trade(
        account, order.market, order.side, qty, order.price, order=order, maker=True,
        position_side=order.position_side, at_ms=at_ms,
    )  # fmt: skip
    return "trade"


def _move(
    exchange: Exchange, account: Account, market: Market, amount: Fraction, at_ms: int
) -> str:
    """In or out, from outside for spot and from another wallet for the others."""
    own = market.product != "spot"
    if amount > 0:
        kind = "transfer_in" if own else "deposit"
    else:
        kind = "transfer_out" if own else "withdrawal"
    fee = WITHDRAWAL_FEE if kind == "withdrawal" else ZERO
    asset = market.settle or market.quote
    exchange.move(account, kind, asset, amount, product=market.product, fee=fee, at_ms=at_ms)
    return kind


def _side(dice: Random, account: Account, market: Market) -> PositionSide:
    if account.hedge and market.product != "spot":
        return dice.choice(("long", "short"))
    return "net"


def _trade(exchange: Exchange, dice: Random, account: Account, market: Market, at_ms: int) -> None:
    """Of at most a few thousand in quote. A leg of a hedge never crosses zero, and nobody sells
    spot that is not there or pays a fee in what is not held.
    """
    tick, step = exact(market.tick), exact(market.step)
    market.mark = max(tick * 100, market.mark + tick * dice.randint(-40, 40))
    price = market.mark + tick * dice.randint(-3, 3)
    position_side = _side(dice, account, market)
    side, kind = dice.choice(("buy", "sell")), "normal"
    qty = step * dice.randint(1, 200)
    pocket = pocket_of(exchange.rules[account.venue], market.product)
    wallets = account.live.wallets
    held = account.live.positions.get((market.product, market.symbol, position_side))
    if market.product == "spot":
        side = side if wallets.get((pocket, market.base), ZERO) >= qty else "buy"
    elif position_side != "net":
        opening, closing = ("buy", "sell") if position_side == "long" else ("sell", "buy")
        room = abs(held.qty) if held else ZERO
        side = opening if not room or dice.random() < TURN else closing
        qty = qty if side == opening else min(qty, room)
    elif held and held.qty and dice.random() < CLOSE:
        side, qty = ("sell" if held.qty > 0 else "buy"), abs(held.qty)  # to zero
        kind = dice.choice(("normal", "normal", "liquidation", "adl"))
    rebate = dice.random() < REBATE
    third = dice.random() < THIRD and wallets.get((pocket, THIRD_ASSET), ZERO) > 1
    exchange.trade(
        account, market, side, qty, price, at_ms=at_ms, position_side=position_side,
        maker=dice.random() < TURN, kind=kind,  # type: ignore[arg-type]  # one of the kinds
        fee=_fee(dice, rebate, third), fee_asset=THIRD_ASSET if third else "",
    )  # fmt: skip


def _fee(dice: Random, rebate: bool, third: bool) -> str | None:  # noqa: FBT001 - two rolls
    if third:
        return plain(Fraction(dice.randint(1, 99_999), 10**8))
    return plain(Fraction(-dice.randint(1, 99_999), 10**8)) if rebate else None
