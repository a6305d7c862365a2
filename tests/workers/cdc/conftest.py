"""The sink of TimescaleDB, connected, on an empty database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from shared.settings import Settings
from tests.history_world import Desk, HistoryUnderTest
from tests.timescale_world import Timescale


@pytest.fixture
def desk(settings_for: Callable[..., Settings], timescale: Timescale) -> Iterator[Desk]:
    under = HistoryUnderTest(settings_for, timescale)
    sink = under.make()
    sink.connect()
    with closing(sink):
        yield Desk(under, sink)
