from __future__ import annotations

import io
from datetime import timedelta

from rich.console import Console

from shared.masking import Mask
from tests.pictures import NOW, TROUBLES, Exported, broken, seen, well
from workers.page.look import LastErrors
from workers.page.watch import drawn, watch

ERRORS = LastErrors(lambda: TROUBLES, Mask())


def text_of(samples: Exported, *, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=120, height=60, force_terminal=terminal)
    console.print(drawn(seen(list(samples.samples), TROUBLES), NOW))
    said: str = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    return said


def test_problems_stand_above_everything_with_what_to_do() -> None:
    text = text_of(Exported(broken()))
    places = [text.index(one) for one in (
        "urgent", "partition 7 of orders is halted", "do: mend the handler", "last errors",
        "fleet parked show 1764000000123-0", "Money", "Streams", "Exchanges",
    )]  # fmt: skip
    assert places == sorted(places)
    assert "All is well" in text_of(Exported(well()))


def test_old_figures_say_so() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(drawn(seen(well()), NOW + timedelta(minutes=3)))
    assert "180 s old" in console.file.getvalue()  # type: ignore[attr-defined] # a StringIO


def never(seconds: float) -> None:
    raise AssertionError(f"it waits for {seconds} s")


def test_where_there_is_no_terminal_it_prints_once() -> None:
    out, exporter = io.StringIO(), Exported(broken())
    watch(Console(file=out, width=120), exporter, ERRORS, sleep=never)
    assert exporter.turns == 1
    assert "partition 7 of orders is halted" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_ctrl_c_ends_it_and_gives_the_terminal_back() -> None:
    out, exporter, slept = io.StringIO(), Exported(broken()), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    watch(Console(file=out, width=120, force_terminal=True), exporter, ERRORS, sleep=sleep)
    assert (slept, exporter.turns) == ([2.0, 2.0, 2.0], 3)
    # The cursor is shown, the alternate screen is left.
    assert out.getvalue().endswith("\x1b[?25h\x1b[?1049l")


def test_a_message_cannot_write_to_the_terminal() -> None:
    trouble = TROUBLES[0]._replace(why="\x1b[2Jgone")
    console = Console(file=io.StringIO(), width=120)
    console.print(drawn(seen(well(), [trouble]), NOW))
    said = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    assert "\x1b" not in said
    assert "\\x1b[2Jgone" in said
