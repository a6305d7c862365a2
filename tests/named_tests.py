"""Whether the tests that a table names are there: a table of traps points at what shows each."""

from __future__ import annotations

import ast
import functools
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).parent


def missing(tests: Sequence[str]) -> list[str]:
    """Of `folder/test_file.py::test_name`, those that nobody wrote."""
    return [test for test in tests if test.split("::")[1] not in names_in(test.split("::")[0])]


@functools.cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
