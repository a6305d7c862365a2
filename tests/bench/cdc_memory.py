"""One transaction of a million rows: what each process holds while it passes."""

from __future__ import annotations

import time
from contextlib import closing

from tests.bench.cdc_capture import AUDIT, COLLECTOR, TIMESCALE, Capture, Offsets, capture_of
from tests.bench.figures import Figure
from tests.bench.place import Place

TARGET_MB = 300
SECONDS = 1_800
LOOK_SECONDS = 0.25
TABLE = "fleet_bench_long"
CREATE = f"""
CREATE TABLE {TABLE} (
  id         BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  account_id BIGINT UNSIGNED NOT NULL,
  instrument VARCHAR(64) NOT NULL,
  qty        DECIMAL(38,18) NOT NULL,
  price      DECIMAL(38,18) NOT NULL,
  note       VARCHAR(191) NOT NULL,
  updated_at DATETIME(6) NOT NULL
)
"""
TEN = "(" + " UNION ALL ".join(f"SELECT {n} AS n" for n in range(10)) + ")"
INSERT = f"""
INSERT INTO {TABLE}
SELECT id, MOD(id, 1000), CONCAT('I', MOD(id, 40), 'USDT'), 0.125 + id, 64123.45,
       CONCAT('row ', id, ' of a transaction that is long'), UTC_TIMESTAMP(6)
FROM (
  SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n AS id
  FROM {TEN} AS a, {TEN} AS b, {TEN} AS c, {TEN} AS d, {TEN} AS e, {TEN} AS f
) AS numbers
WHERE id < %s
"""  # noqa: S608 - our own words


def long_transaction(place: Place, *, rows: int) -> Figure:
    """From its commit until both sinks show it."""
    with capture_of(place, tables=f"default,+{TABLE}") as capture:
        with closing(capture.connection()) as connection:
            connection.cursor().execute(CREATE)
            before = capture.begin()
            resting = {role: capture.peak_mb(role) for role in (COLLECTOR, AUDIT, TIMESCALE)}
            connection.cursor().execute(INSERT, (rows,))
        started = time.perf_counter()
        stream, shown = _passed(capture, before + 1)
        peaks = {role: capture.peak_mb(role) for role in resting}
        _check(capture, rows)
    told = ", ".join(f"{role} {peaks[role]:.0f} MB ({resting[role]:.0f} before)" for role in peaks)
    times = ", ".join(f"{sink} {at - started:.0f} s" for sink, at in shown.items())
    return Figure(
        f"one transaction of {rows:,} rows: the collector's peak, resident",
        f"< {TARGET_MB} MB",
        f"{peaks[COLLECTOR]:.0f} MB",
        peaks[COLLECTOR] < TARGET_MB,
        f"{told}; the stream in Redis at most {stream / 2**20:.0f} MB; visible after {times}",
    )


def _passed(capture: Capture, seq: int) -> tuple[int, dict[str, float]]:
    """The stream's most bytes, and when each sink showed the transaction."""
    most, shown = 0, dict[str, float]()
    with closing(Offsets(capture)) as offsets:

        def both() -> bool:
            nonlocal most
            most = max(most, capture.stream.extent().bytes)
            for sink, look in ((AUDIT, offsets.audit), (TIMESCALE, offsets.timescale)):
                if sink not in shown and look() >= seq:
                    shown[sink] = time.perf_counter()
            return len(shown) == 2

        capture.until(both, SECONDS, step=LOOK_SECONDS)
    return most, shown


def _check(capture: Capture, rows: int) -> None:
    """They show all of it."""
    with closing(capture.connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT COUNT(*) FROM fleet_change_log WHERE table_name = %s AND op = 'c'", (TABLE,)
        )
        assert cursor.fetchone()[0] == rows
    found = capture.database.run(
        f"SELECT count(*) FROM fleet.change_event WHERE table_name = '{TABLE}' AND op = 'c'"  # noqa: S608
    )
    assert found == [(rows,)]
