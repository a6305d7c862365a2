"""Equity and drawdown of an asset, drawn as SVG: axes, labels, a hint at every point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import NamedTuple

from shared.ledger.money import LEDGER, ZERO
from workers.statement.format import for_people
from workers.statement.markup import Markup, tag, together
from workers.statement.records import AssetStatement
from workers.statement.sections import Ratio

WIDTH, EQUITY_HEIGHT, WATER_HEIGHT = 880, 260, 150
LEFT, RIGHT, TOP, BOTTOM = 104, 14, 14, 30
MOST_DAYS_LABELLED = 8
_DAY = timedelta(days=1)
_MONTHS_FROM = 70  # days from which on months are labelled
_STEPS = (Decimal(1), Decimal(2), Decimal(5), Decimal(10))
_MARGIN = Decimal("0.06")


class Point(NamedTuple):
    at: datetime
    value: Decimal


class Frame(NamedTuple):
    """Where a moment and a value lie on the drawing."""

    start: datetime
    end: datetime
    low: Decimal
    high: Decimal
    height: int

    def x(self, at: datetime) -> Decimal:
        length = max(self.end - self.start, timedelta(microseconds=1))
        share = Decimal((at - self.start) // timedelta(microseconds=1)) / Decimal(
            length // timedelta(microseconds=1)
        )
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: Decimal) -> Decimal:
        share = (value - self.low) / (self.high - self.low)
        return TOP + (1 - share) * (self.height - TOP - BOTTOM)

    def place(self, point: Point) -> str:
        return f"{self.x(point.at):.1f},{self.y(point.value):.1f}"


def charts(one: AssetStatement) -> tuple[Markup, Markup]:
    """Equity and drawdown. Places on a drawing are no amounts, but they are computed like some."""
    with localcontext(LEDGER):
        return _equity_chart(one), _drawdown_chart(one)


def _equity_chart(one: AssetStatement) -> Markup:
    """Gaps where a position had no price; a vertical step where money came or went."""
    known = [Point(point.at, point.equity) for point in one.points if point.equity is not None]
    runs = list(_runs(one))
    values = [point.value for run in runs for point in run]
    if not values:
        return tag("p", "Equity cannot be drawn: no point of it could be valued.", class_="note")
    low, high = _padded(min(values), max(values))
    frame = Frame(one.points[0].at, one.points[-1].at, low, high, EQUITY_HEIGHT)
    body = [
        *_axes(frame, [for_people(tick) for tick in _ticks(frame)]),
        *(_area(frame, run, frame.low) for run in runs),
        *(_line(frame, run) for run in runs),
        *_flow_marks(one, frame),
        *_hints(frame, known, one.asset),
    ]
    told = (
        f"Equity in {one.asset}, from {for_people(values[0])} to {for_people(values[-1])}; "
        f"lowest {for_people(min(values))}, highest {for_people(max(values))}"
    )
    return _drawing(EQUITY_HEIGHT, told, "equity", body)


def _drawdown_chart(one: AssetStatement) -> Markup:
    """How far the time-weighted index stands below its highest so far."""
    water = [Point(point.at, point.level) for point in one.measured.under_water]
    deepest = min((point.value for point in water), default=ZERO)
    if not deepest:
        return tag("p", "No drawdown in this period.", class_="note")
    frame = Frame(
        one.points[0].at, one.points[-1].at, deepest + deepest * _MARGIN, ZERO, WATER_HEIGHT
    )
    body = [
        *_axes(frame, [for_people(Ratio(tick)) for tick in _ticks(frame)]),
        _area(frame, water, ZERO),
        _line(frame, water),
        *_hints(frame, water, ""),
    ]
    told = f"Drawdown in {one.asset}, at its deepest {for_people(Ratio(deepest))}"
    return _drawing(WATER_HEIGHT, told, "water", body)


# ---- what is drawn


def _drawing(height: int, told: str, class_: str, body: Sequence[Markup]) -> Markup:
    svg = tag(
        "svg", *body, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=told, class_=class_
    )
    return tag("div", svg, class_="chart")


def _runs(one: AssetStatement) -> Iterator[list[Point]]:
    """Neighbours whose equity is known, with the step that a flow makes."""
    run: list[Point] = []
    for point in one.points:
        equity = point.equity
        if equity is None:
            if run:
                yield run
            run = []
            continue
        run.append(Point(point.at, equity))
        if point.flow and point is not one.points[-1]:
            run.append(Point(point.at, equity + point.flow))
    if run:
        yield run


def _line(frame: Frame, run: Sequence[Point]) -> Markup:
    return tag("polyline", points=" ".join(map(frame.place, run)), class_="line")


def _area(frame: Frame, run: Sequence[Point], base: Decimal) -> Markup:
    ends = [Point(run[-1].at, base), Point(run[0].at, base)]
    return tag("polygon", points=" ".join(map(frame.place, [*run, *ends])), class_="area")


def _flow_marks(one: AssetStatement, frame: Frame) -> Iterator[Markup]:
    for point in one.points[:-1]:
        if point.flow and point.equity is not None:
            x = f"{frame.x(point.at):.1f}"
            told = f"{for_people(point.at)}: flow of {for_people(point.flow)} {one.asset}"
            yield tag(
                "g",
                tag("title", told),
                tag(
                    "line", x1=x, x2=x, y1=str(TOP), y2=str(frame.height - BOTTOM), class_="flow"
                ),
            )  # fmt: skip


def _hints(frame: Frame, points: Sequence[Point], asset: str) -> Iterator[Markup]:
    """Shown by the browser where the pointer rests."""
    for point in points:
        value = f"{for_people(point.value)} {asset}" if asset else for_people(Ratio(point.value))
        x, y = frame.place(point).split(",")
        title = tag("title", f"{for_people(point.at)}: {value}")
        yield tag("circle", title, cx=x, cy=y, r="5", class_="hint")


# ---- axes


def _axes(frame: Frame, labels: Sequence[str]) -> Iterator[Markup]:
    right, floor = str(WIDTH - RIGHT), frame.height - BOTTOM
    for tick, label in zip(_ticks(frame), labels, strict=True):
        y = f"{frame.y(tick):.1f}"
        yield tag("line", x1=str(LEFT), x2=right, y1=y, y2=y, class_="grid")
        yield tag(
            "text", label, x=str(LEFT - 10), y=y, text_anchor="end", dominant_baseline="middle"
        )
    yield tag("line", x1=str(LEFT), x2=right, y1=str(floor), y2=str(floor), class_="axis")
    for at, label in _dates(frame):
        x = f"{frame.x(at):.1f}"
        yield together(
            tag("line", x1=x, x2=x, y1=str(floor), y2=str(floor + 4), class_="axis"),
            tag("text", label, x=x, y=str(floor + 19), text_anchor="middle"),
        )


def _ticks(frame: Frame) -> list[Decimal]:
    """Three to six round values."""
    raw = (frame.high - frame.low) / 4
    unit = Decimal(1).scaleb(raw.adjusted())
    step = next(unit * one for one in _STEPS if unit * one >= raw)
    first = (frame.low / step).to_integral_value(rounding="ROUND_CEILING")
    ticks, tick = [], first * step
    while tick <= frame.high:
        ticks.append(tick)
        tick += step
    return ticks


def _padded(low: Decimal, high: Decimal) -> tuple[Decimal, Decimal]:
    room = (high - low) * _MARGIN or abs(high) * _MARGIN or Decimal(1)
    return low - room, high + room


def _dates(frame: Frame) -> Iterator[tuple[datetime, str]]:
    days = (frame.end - frame.start).days
    if days > _MONTHS_FROM:
        yield from _months(frame, days)
        return
    step = max(1, -(-days // MOST_DAYS_LABELLED))
    for number in range(0, days + 1, step):
        at = frame.start + number * _DAY
        yield at, f"{at.day} {at:%b}"


def _months(frame: Frame, days: int) -> Iterator[tuple[datetime, str]]:
    every = max(1, -(-days // (31 * MOST_DAYS_LABELLED)))
    first = frame.start.year * 12 + frame.start.month - 1
    last = frame.end.year * 12 + frame.end.month - 1
    for number in range(first, last + 1):
        at = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        if at >= frame.start and at <= frame.end and number % every == 0:
            yield at, f"{at:%b} {at.year}" if at.month == 1 or every > 1 else f"{at:%b}"
