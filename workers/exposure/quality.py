"""What the checks of the data found last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from shared.mysql.connection import connect
from shared.settings import Settings
from workers.alerts import Sample
from workers.exposure.books import READ_SECONDS
from workers.exposure.samples import tell
from workers.quality.checks import checks_of
from workers.quality.run import OLD_SECONDS, stored


def read(settings: Settings) -> Iterator[Sample]:
    with closing(connect(settings.mysql, read_seconds=READ_SECONDS)) as connection:
        known = stored(connection)
    for name, check in checks_of(settings).items():
        of = {"check": name, "dimension": check.dimension}
        yield tell("fleet_quality_objective", check.objective, **of)
        last = known.get(name)
        if last is None or last.found is None:
            continue
        yield tell("fleet_quality_age_seconds", last.age_seconds, **of)
        if last.age_seconds < OLD_SECONDS:
            yield tell("fleet_quality", last.found.part, **of)
            yield tell("fleet_quality_met", last.found.part >= check.objective, **of)
