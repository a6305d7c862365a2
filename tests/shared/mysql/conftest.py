"""A connection for tests of the book: the streams role's own privileges, the session's schema,
empty.
"""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def mysql_schema(mysql_connection: Any) -> Any:
    """An open connection to an empty migrated schema, no transaction begun."""
    return mysql_connection
