from __future__ import annotations

import math

from shared.metrics import FLEET
from tests.pictures import broken, sample, well
from workers.page.sections import SECTIONS, Column, Grid, Shown, filled
from workers.page.words import ago, count, seconds, size


def texts(shown: Shown) -> list[list[str]]:
    return [[cell.text for cell in row] for row in shown.rows]


def test_every_metric_of_the_fleet_is_shown() -> None:
    columns = {one.metric for section in SECTIONS for grid in section.grids for one in grid.columns}
    assert columns == set(FLEET)


def test_rows_stand_in_the_order_of_numbers_and_only_the_troubled_where_asked() -> None:
    columns = (Column("halted", "fleet_partition_halted", "yes"),)
    told = [sample("fleet_partition_halted", one, partition=str(at))
            for at, one in ((10, 1), (2, 1), (1, 0))]  # fmt: skip
    rows = texts(filled(Grid(("partition",), columns), told))
    assert [row[0] for row in rows] == ["1", "2", "10"]
    troubled = filled(Grid(("partition",), columns, troubled=True), told)
    assert texts(troubled) == [["2", "yes"], ["10", "yes"]]
    all_of_them = [one._replace(value=1.0) for one in well()]
    assert len(filled(Grid(("partition",), columns, troubled=True), all_of_them).rows) == 10


def test_a_cell_is_marked_when_one_of_its_samples_breaks_an_alert() -> None:
    grid = Grid(("stream",), (Column("partitions", "fleet_partition_owned", fold="series"),
                              Column("owned", "fleet_partition_owned")))  # fmt: skip
    (row,) = filled(grid, broken()).rows
    assert [(cell.text, cell.severity) for cell in row] == [
        ("orders", ""), ("33", ""), ("32", "page"),
    ]  # fmt: skip


def test_a_well_fleet_has_no_mark_anywhere() -> None:
    shown = [filled(grid, well()) for section in SECTIONS for grid in section.grids]
    assert [cell for grid in shown for row in grid.rows for cell in row if cell.severity] == []


def test_samples_of_other_labels_stay_out() -> None:
    grid = Grid(("queue",), (
        Column("ready", "fleet_laravel_queue_jobs", where=(("state", "ready"),)),
        Column("failed", "fleet_laravel_failed_jobs"),
    ))  # fmt: skip
    told = [sample("fleet_laravel_queue_jobs", 3, state="ready"),
            sample("fleet_laravel_queue_jobs", 5, state="delayed")]  # fmt: skip
    assert texts(filled(grid, told)) == [["fleet", "3", ""]]


def test_figures_are_told_as_a_person_reads_them() -> None:
    assert [seconds(one) for one in (0, 0.25, 45, 119, 150, 7200, 260_000)] == [
        "0 s", "0.2 s", "45 s", "119 s", "2 min", "2 h", "3 days",
    ]  # fmt: skip
    assert (count(1234567), size(3 * 2**20), ago(12)) == ("1,234,567", "3.0 MiB", "12 s ago")
    assert (count(math.nan), ago(math.nan), seconds(math.inf)) == (
        "not known", "not known", "no limit",
    )  # fmt: skip
