"""A statement as one page that needs nothing else: no script, no font, light, dark and on paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from workers.statement.chart import charts
from workers.statement.format import for_people, number_of
from workers.statement.markup import Markup, tag, together
from workers.statement.records import AssetStatement, Statement
from workers.statement.sections import (
    Ratio,
    Section,
    Value,
    for_reading,
    made_of,
    of_account,
    of_asset,
)

STYLE = Path(__file__).with_name("page.css")
ROWS = 400
"""Of a table: every day of a year; the others are summed up in one. The CSV has them all."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page_of(statement: Statement) -> str:
    """Everything in it is escaped; it loads nothing and runs nothing."""
    title = f"Account {statement.account_id}, {statement.first_day} to {statement.last_day}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    body = tag(
        "body",
        tag(
            "main",
            _head(statement),
            _warnings(statement.warnings),
            *(_asset(one) for one in statement.assets),
            *_tables(of_account(statement)),
            _foot(statement),
        ),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _head(statement: Statement) -> Markup:
    owners = ", ".join(
        f"user {owner.user_id}"
        + (f" from {owner.valid_from}" if owner.valid_from > statement.first_day else "")
        for owner in statement.owners
    )
    return tag(
        "header",
        tag("p", "Statement", class_="kicker"),
        tag("h1", f"Account {statement.account_id}"),
        tag("p", f"{statement.first_day} to {statement.last_day}, both days included, UTC"),
        tag("p", f"Owner: {owners}") if owners else Markup(),
    )


def _warnings(warnings: Iterable[str]) -> Markup:
    items = [tag("li", text) for text in warnings]
    if not items:
        return Markup()
    return tag("aside", tag("h2", "Before you rely on it"), tag("ul", *items), class_="warnings")


def _foot(statement: Statement) -> Markup:
    return tag(
        "footer",
        tag("p", f"Made at {for_people(statement.made_at)} UTC. Assets are never added up."),
        tag("p", "Fees are positive when paid, funding when received; net is realized - fees + "
            "funding + other. Any figure of a day: fleet trace --account "
            f"{statement.account_id} --day DAY."),
    )  # fmt: skip


# ---- an asset


def _asset(one: AssetStatement) -> Markup:
    ties, performance, *others = of_asset(one)
    drawn = Markup()
    if one.points:
        equity, drawdown = charts(one)
        drawn = together(tag("h3", "Equity"), equity, tag("h3", "Drawdown"), drawdown)
    return tag(
        "section",
        tag("h2", one.asset),
        _headline(one),
        drawn,
        tag("div", _table(ties, class_="sum"), _table(performance, class_="sum"), class_="pair"),
        *_tables(for_reading(section, one, ROWS) for section in others),
    )


def _headline(one: AssetStatement) -> Markup:
    growth, fall = one.measured.growth.total, one.measured.drawdown
    closing = one.closing.equity if one.closing else None
    figures: list[tuple[str, Value]] = [
        ("Made", made_of(one)),
        ("Closing equity", closing),
        ("Time-weighted return", None if growth is None else Ratio(growth)),
        ("Deepest drawdown", Ratio(fall.depth) if fall else None),
    ]
    return tag(
        "dl",
        *(
            tag("div", tag("dt", name), tag("dd", for_people(value), class_=_sign(value)))
            for name, value in figures
        ),
        class_="headline",
    )


# ---- tables


def _tables(sections: Iterable[Section]) -> list[Markup]:
    return [_table(section) for section in sections if section.rows]


def _table(section: Section, class_: str | None = None) -> Markup:
    numeric = [
        any(number_of(row[number]) is not None for row in section.rows)
        for number in range(len(section.columns))
    ]
    heads = [
        tag("th", name, scope="col", class_="number" if right else None)
        for name, right in zip(section.columns, numeric, strict=True)
    ]
    table = tag(
        "table",
        tag("thead", tag("tr", *heads)),
        tag("tbody", *_rows(section, numeric)),
        class_=class_,
    )
    return tag(
        "div", tag("h3", section.title), tag("div", table, class_="scroll"), class_="table"
    )


def _rows(section: Section, numeric: Sequence[bool]) -> Iterator[Markup]:
    for number, row in enumerate(section.rows):
        cells = (
            tag("td", for_people(value), class_=_class(value, right=right))
            for value, right in zip(row, numeric, strict=True)
        )
        is_last = number >= len(section.rows) - section.last
        yield tag("tr", *cells, class_="last" if is_last else None)


def _class(value: Value, *, right: bool) -> str | None:
    words = ["number"] if right else []
    return " ".join([*words, *filter(None, [_sign(value)])]) or None


def _sign(value: Value) -> str | None:
    number = number_of(value)
    if number is None or number > 0:
        return None
    return "negative" if number else "zero"
