"""The statement as a page and on a terminal: well-formed, escaped, drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.endpoints import MySQLSettings
from shared.ledger.performance import CycleStats, EquityPoint
from shared.mysql.connection import connect
from tests.workers.conftest import Fleet
from tests.workers.ledger_desk import LedgerDesk, on
from workers.statement.csv import csv_of
from workers.statement.format import exact, for_people
from workers.statement.markup import tag
from workers.statement.page import page_of
from workers.statement.records import AssetStatement, OfInstrument, Pnl, Statement, measured
from workers.statement.sections import Quotient, Ratio
from workers.statement.warnings import Standing, warnings_of

D = Decimal
START = datetime(2024, 10, 4, tzinfo=UTC)
VOID = {"meta", "line", "polyline", "polygon", "circle"}
HOSTILE = '<script>alert("1")</script>&\x1b]0;x'


class Page(HTMLParser):
    """Checks nesting while it reads; keeps text, titles and elements."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.titles: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.open and self.open[-1] == "title":
            self.titles.append(data)


def statement(equities: list[Decimal | None], flows: dict[int, Decimal]) -> Statement:
    """One asset, a point a day, an instrument with a name nobody should have."""
    points = [
        EquityPoint(
            START + timedelta(days=number), D(0) if equity is None else equity,
            None if equity is None else D(0), flows.get(number, D(0)),
        )
        for number, equity in enumerate(equities)
    ]  # fmt: skip
    pnl = Pnl(D("1.50"), D("0.25"), D(0), D(0), 2)
    asset = AssetStatement(
        "USDT", points, pnl, D(0), D(0), [], CycleStats(0, 0, 0, None, None, None, None), [], [],
        [OfInstrument("linear", HOSTILE, pnl)], [], [], measured(points, START),
    )  # fmt: skip
    last = date(2024, 10, 3) + timedelta(days=len(points))
    return Statement(
        7, START.date(), last, START, None, [], [f"look at {HOSTILE}"], [asset], [], []
    )  # fmt: skip


@pytest.fixture
def desk(
    mysql_connection: Any, mysql_root: MySQLSettings, fleet_schema: str
) -> Iterator[LedgerDesk]:
    with closing(connect(mysql_root, fleet_schema)) as root:
        yield LedgerDesk(mysql_connection, root)


def test_the_curve_has_every_point_that_is_known() -> None:
    page = Page(page_of(statement([D(100), D("101.5"), None, D(99)], {1: D(10)})))
    hints = [text for text in page.titles if "USDT" in text]
    assert hints == [
        "2024-10-05 00:00: flow of 10 USDT",
        "2024-10-04 00:00: 100 USDT",
        "2024-10-05 00:00: 101.5 USDT",
        "2024-10-07 00:00: 99 USDT",
    ]
    lines = [attrs for name, attrs in page.elements if name == "polyline"]
    assert len(lines) == 3  # equity before and after the gap, drawdown
    assert len((lines[0]["points"] or "").split()) == 3  # the flow is a step


def test_a_fall_of_the_index_is_drawn_as_drawdown() -> None:
    page = Page(page_of(statement([D(100), D(90), D(95)], {})))
    assert "2024-10-05 00:00: -10.00 %" in page.titles
    flat = Page(page_of(statement([D(100), D(100)], {})))
    assert "No drawdown in this period." in flat.words


def test_what_cannot_be_drawn_says_so() -> None:
    page = Page(page_of(statement([None, None], {})))
    assert any("cannot be drawn" in word for word in page.words)


AMOUNTS = st.decimals("-99999999999999999999", "99999999999999999999", places=18)


@given(st.lists(st.one_of(st.none(), AMOUNTS), min_size=1, max_size=12))
def test_any_curve_makes_a_page_whose_places_are_on_the_drawing(
    equities: list[Decimal | None],
) -> None:
    page = Page(page_of(statement(equities, {})))
    for name, attrs in page.elements:
        for place in (attrs.get("points") or "").split() if name == "polyline" else ():
            x, y = map(float, place.split(","))
            assert 0 <= x <= 880
            assert 0 <= y <= 260


def test_names_are_text_and_never_markup() -> None:
    html = page_of(statement([D(100), D(90)], {}))
    page = Page(html)
    assert "<script" not in html
    assert "\x1b" not in html
    assert '<script>alert("1")</script>&\\x1b]0;x' in page.words
    assert not any(name == "script" for name, _ in page.elements)


def test_the_page_loads_nothing() -> None:
    html = page_of(statement([D(100), D(90)], {}))
    page = Page(html)
    assert not {"link", "img", "iframe", "object"} & {name for name, _ in page.elements}
    assert not re.search(r"url\(|@import|https?://", html)
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_books_that_do_not_tie_are_loud() -> None:
    (one,) = statement([D(100), D(90)], {}).assets
    assert one.tie_out().difference == D("-11.25")
    closed = Standing("active", None, 0, [], [], date(2024, 10, 5))
    (warning,) = warnings_of(closed, date(2024, 10, 5), [one], [])
    assert warning.startswith("USDT does not tie")


def test_an_attribute_cannot_be_left() -> None:
    assert tag("p", "a", title='" onload="x') == '<p title="&quot; onload=&quot;x">a</p>'


def test_a_spreadsheet_finds_no_formula() -> None:
    hostile = statement([D(100), D(90)], {})
    formula = OfInstrument("linear", '=HYPERLINK("x")', Pnl(realized=D(-5)))
    one = hostile.assets[0]
    changed = AssetStatement(**{**vars(one), "instruments": [formula]})
    told = csv_of(Statement(**{**vars(hostile), "assets": [changed]}))
    assert '"\'=HYPERLINK(""x"")"' in told
    assert ",-5.000000000000000000," in told


@pytest.mark.parametrize(
    ("value", "person", "program"),
    [
        (D("1234567.5000"), "1,234,567.5", "1234567.500000000000000000"),
        (D("-0.000000000000000001"), "-0.000000000000000001", "-0.000000000000000001"),
        (D("-0"), "0", "-0.000000000000000000"),
        (Ratio(D("0.05237")), "5.24 %", "0.052370000000000000"),
        (Quotient(D("1.005")), "1.00", "1.005000000000000000"),
        (timedelta(days=3, hours=4, minutes=5), "3 d 4 h", "273900"),
        (START, "2024-10-04 00:00", "2024-10-04T00:00:00+00:00"),
        (None, "—", ""),
        (1500, "1,500", "1500"),
    ],
)
def test_values_are_written_for_people_and_for_programs(
    value: Any, person: str, program: str
) -> None:
    assert for_people(value) == person
    assert exact(value) == program


# ---- from the books


@pytest.mark.database
def test_a_page_and_a_table_are_written_to_a_file(
    desk: LedgerDesk, fleet: Fleet, tmp_path: Path
) -> None:
    name = "<b>&X"
    desk.fills(on(0, "1", instrument=name), on(1, "2", "sell", "130", instrument=name))
    words = ("statement", "--account", "1", "--from", "2024-10-04", "--to", "2024-10-05")
    for form in ("html", "table"):
        out = tmp_path / f"statement.{form}"
        result = fleet(*words, "--format", form, "--out", str(out))
        assert result.exit_code == 0, (result.stdout, result.stderr, result.exception)
        assert result.output == f"written to {out}\n"
        text = out.read_text(encoding="utf-8")
        shown = " ".join(Page(text).words) if form == "html" else text
        assert name in shown
        assert "closing equity" in shown
        assert "30" in shown
    shown = fleet(*words).output
    assert "From opening to closing" in shown
    assert name in shown
