"""Series of stored prices, asked at many moments: the last price of each kind at or before each.

Moments of an hour are a run. A run's first moment is looked up in the index, what came within the
run is read in order and laid over its moments. So neither many moments nor many prices cost a look
into the table each, and no more than PARTS * ROWS prices are held at once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from shared.ledger.valuation import Price

RUN = timedelta(hours=1)
PARTS = 50  # of a statement, each of one run
ROWS = 500  # of a part

Thing = TypeVar("Thing", bound=tuple[str, ...])
Answers = dict[Thing, dict[datetime, list[Price]]]
"""Per thing (an instrument, a pair) and moment one price of each kind that has one by then."""


class Statements(NamedTuple):
    """existing: rows of thing and kind. latest: the price of a thing and kind at or before a
    moment. between: those behind a moment up to another, in order, at most so many.
    """

    existing: str
    latest: str
    between: str


class _Run(NamedTuple, Generic[Thing]):
    """Moments in order, none twice."""

    thing: Thing
    kind: str
    moments: Sequence[datetime]


def read_series(
    connection: Any, sql: Statements, wanted: Mapping[Thing, Collection[datetime]]
) -> Answers[Thing]:
    """Only kinds of which a thing has any price are asked for."""
    answers: Answers[Thing] = defaultdict(lambda: defaultdict(list))
    if not any(wanted.values()):
        return answers
    cursor = connection.cursor()
    cursor.execute(sql.existing)
    kinds: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for *thing, kind in cursor.fetchall():
        kinds[tuple(thing)].append(kind)
    waiting = deque(
        _Run(thing, kind, moments)
        for thing, asked in wanted.items()
        if thing in kinds
        for moments in _runs(asked)
        for kind in kinds[thing]
    )
    while waiting:
        runs = [waiting.popleft() for _ in range(min(PARTS, len(waiting)))]
        for run, moment, price in _answered(cursor, sql, runs, waiting):
            answers[run.thing][moment].append(price)
    return answers


def _runs(moments: Iterable[datetime]) -> Iterator[Sequence[datetime]]:
    run: list[datetime] = []
    for moment in sorted(set(moments)):
        if run and moment - run[0] > RUN:
            yield run
            run = []
        run.append(moment)
    if run:
        yield run


def _answered(
    cursor: Any, sql: Statements, runs: Sequence[_Run[Thing]], waiting: deque[_Run[Thing]]
) -> Iterator[tuple[_Run[Thing], datetime, Price]]:
    """What one look at these runs answers; what it does not waits as a run of its own."""
    firsts = {n: (run.moments[0],) for n, run in enumerate(runs)}
    spans = {
        n: (run.moments[0], run.moments[-1], ROWS)
        for n, run in enumerate(runs)
        if len(run.moments) > 1
    }
    latest = _read(cursor, sql.latest, runs, firsts)
    between = _read(cursor, sql.between, runs, spans)
    for number, run in enumerate(runs):
        known = run.moments
        if len(between[number]) == ROWS:
            # More may stand at the moment of the last one, and behind it.
            known = known[: max(bisect_left(known, between[number][-1].at), 1)]
        if len(known) < len(run.moments):
            waiting.append(run._replace(moments=run.moments[len(known) :]))
        for moment, price in _laid_over(known, latest[number] + between[number]):
            yield run, moment, price


def _read(
    cursor: Any, statement: str, runs: Sequence[_Run[Thing]], asked: Mapping[int, tuple[Any, ...]]
) -> Mapping[int, list[Price]]:
    """Number of a run -> its prices in order. At one moment the order is that of the names."""
    found: dict[int, list[Price]] = defaultdict(list)
    if not asked:
        return found
    arguments: list[Any] = []
    for number, bounds in asked.items():
        arguments += (number, *runs[number].thing, runs[number].kind, *bounds)
    cursor.execute("\nUNION ALL\n".join([statement] * len(asked)), arguments)
    # A union has no order of its own.
    rows = sorted(cursor.fetchall(), key=itemgetter(0, 2, 4, 5, 6))
    for number, price, at, source, *_ in rows:
        found[number].append(Price(price, at, runs[number].kind, source))
    return found


def _laid_over(
    moments: Sequence[datetime], prices: Sequence[Price]
) -> Iterator[tuple[datetime, Price]]:
    """Each moment beside the last price at or before it; both in order."""
    place = 0
    for moment in moments:
        while place < len(prices) and prices[place].at <= moment:
            place += 1
        if place:
            yield moment, prices[place - 1]
