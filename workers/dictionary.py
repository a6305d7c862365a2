"""The measures of deploy/dictionary.md: written from the docstrings that define them.

`python -m workers.dictionary` writes them; a test says when that was forgotten.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.ledger import equity as flows
from shared.ledger import performance, valuation
from shared.mysql import equity

PATH = Path(__file__).parents[1] / "deploy" / "dictionary.md"
MARK = "<!-- measures:"

MEASURES: Mapping[str, Any] = {
    "Unrealized P&L": valuation.unrealized,
    "The price of a moment": valuation.choose,
    "Amounts in another asset": valuation.convert,
    "Equity": equity,
    "What comes from outside": flows,
    "Time-weighted return": performance.time_weighted,
    "Modified Dietz return": performance.modified_dietz,
    "Drawdown": performance.Drawdown,
    "Drawdowns of an index": performance.drawdowns,
    "Maximum drawdown": performance.deepest,
    "Position cycle": performance.Cycle,
    "Where cycles begin and end": performance.cycles,
    "Funding of a cycle": performance.with_funding,
    "Win rate, profit factor, average win and loss": performance.cycle_stats,
}


def measures() -> str:
    """All definitions, as markdown."""
    hours = valuation.PRICE_AGE // timedelta(hours=1)
    prices = (
        f"Kinds of price, the best first: {', '.join(valuation.KINDS)}. A price more than {hours} "
        "hours older than the moment asked is none. Conversions without a pair of their own go "
        f"through {' or '.join(valuation.COMMON_ASSETS)}."
    )
    parts = ["## Measures", prices]
    for title, defined in MEASURES.items():
        told = inspect.getdoc(defined) or ""
        parts += [f"### {title}", told.replace(" Raises AmountOverflow.", "")]
    return "\n\n".join(parts) + "\n"


def dictionary(text: str) -> str:
    """The whole file anew, from its text."""
    head, mark, rest = text.partition(MARK)
    line, _, _ = rest.partition("\n")
    return f"{head}{mark}{line}\n\n{measures()}"


if __name__ == "__main__":
    PATH.write_text(dictionary(PATH.read_text(encoding="utf-8")), encoding="utf-8")
