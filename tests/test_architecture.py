"""Rules of the tree that no linter knows: imports, sizes, amounts, and tables in step."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.queries import load
from workers.registry import EVENTS
from workers.roles import procfile

ROOT = Path(__file__).parents[1]
OURS = ("shared", "workers", "deploy", "tests")
FUNCTION_LINES = 70
MODULE_LINES = 400

NEUTRAL = {
    "shared.errors",
    "shared.settings",
    "shared.settings_laravel",
    "shared.telemetry",
    "shared.endpoints",
    "shared.queries",
    "shared.redis_clients",
    "shared.redis_cluster",
    "shared.changes",
    "shared.ledger",
}
"""What a part of `shared` may use beside itself."""
PARTS = ("streams", "mysql", "timescale", "exchanges", "laravel", "cdc")
IO_MODULES = {
    "redis", "MySQLdb", "psycopg", "sqlalchemy", "celery", "kombu", "rq", "ccxt", "socket", "time",
    "random", "os", "subprocess", "threading", "requests", "httpx",
}  # fmt: skip


def sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Full names of what a module imports, `from a import b` as `a.b`; also inside functions."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def first_party(path: Path) -> list[str]:
    return [name for name in imports(path) if name.split(".")[0] in OURS]


# -- imports ---------------------------------------------------------------------------------------


def test_shared_imports_neither_workers_nor_tests() -> None:
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in sources("shared")
        for name in first_party(path)
        if not name.startswith("shared.")
    ]
    assert wrong == []


def test_programs_import_no_tests() -> None:
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in sources("workers", "deploy")
        for name in first_party(path)
        if name.startswith("tests")
    ]
    assert wrong == []


def test_the_ledger_imports_nothing_of_ours_but_itself_and_the_errors() -> None:
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in sources("shared/ledger")
        for name in first_party(path)
        if not within(name, {"shared.ledger", "shared.errors"})
    ]
    assert wrong == []


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_shared_never_import_one_another(part: str) -> None:
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in sources(f"shared/{part}")
        for name in first_party(path)
        if not within(name, {f"shared.{part}", *NEUTRAL})
    ]
    assert wrong == []


def test_events_decide_without_io_clock_or_settings() -> None:
    wrong = []
    for path in sources("workers/events"):
        for name in imports(path):
            ours = name.split(".")[0] in OURS
            allowed = {"shared.ledger", "shared.errors", "shared.streams.event", "workers.events"}
            if (ours and not within(name, allowed)) or name.split(".")[0] in IO_MODULES:
                wrong.append(f"{name_of(path)} imports {name}")
    assert wrong == []


def test_nobody_imports_the_module_that_acts_when_imported() -> None:
    wrong = [
        name_of(path)
        for path in sources("workers", "shared", "deploy")
        if any(within(name, {"workers.app"}) for name in imports(path))
    ]
    assert wrong == []


# -- sizes -----------------------------------------------------------------------------------------


def test_no_module_is_longer_than_its_bound() -> None:
    long = {
        name_of(path): lines
        for path in sources("shared", "workers", "deploy")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MODULE_LINES
    }
    assert long == {}


def test_no_function_is_longer_than_its_bound() -> None:
    long = [
        f"{name_of(path)}.{node.name}: {lines} lines"
        for path in sources("shared", "workers", "deploy")
        for node in ast.walk(tree_of(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    ]
    assert long == []


def test_no_class_has_a_name_that_says_nothing() -> None:
    empty = re.compile(r"(Manager|Helper|Util|Utils|Base|Service|Processor)$")
    found = [
        f"{name_of(path)}.{node.name}"
        for path in sources("shared", "workers", "deploy")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef) and empty.search(node.name)
    ]
    assert found == []


# -- amounts and moments ---------------------------------------------------------------------------


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """(`f` or `x.f`, the call)."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_float_and_no_bare_round_near_money() -> None:
    wrong = []
    for path in [
        *sources("shared/ledger", "workers/events"),
        *(ROOT / "shared/mysql").glob("book*.py"),
    ]:
        wrong += [
            f"{name_of(path)}:{call.lineno} {name}()"
            for name, call in calls(path)
            if name in {"float", "round"}
        ]
        wrong += [
            f"{name_of(path)}:{node.lineno} {node.value!r}"
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Constant) and isinstance(node.value, float)
        ]
    assert wrong == []


def test_no_naive_moment_anywhere() -> None:
    wrong = []
    for path in sources("shared", "workers", "deploy"):
        for name, call in calls(path):
            zoneless = name.endswith(("datetime.now", "datetime.fromtimestamp")) and not (
                call.keywords or len(call.args) > name.endswith("fromtimestamp")
            )
            if zoneless or name.endswith((".utcnow", ".utcfromtimestamp")):
                wrong.append(f"{name_of(path)}:{call.lineno} {name}")
    assert wrong == []


def test_the_ledger_asks_no_clock_and_no_dice() -> None:
    wrong = [
        f"{name_of(path)}:{call.lineno} {name}"
        for path in sources("shared/ledger", "workers/events")
        for name, call in calls(path)
        if name.split(".")[0] in {"time", "random", "uuid", "secrets"} or name.endswith(".now")
    ]
    assert wrong == []


# -- errors ----------------------------------------------------------------------------------------


def test_a_catch_all_raises_again_or_says_why_not() -> None:
    wrong = []
    for path in sources("shared", "workers"):
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else "everything"
            if not re.search(r"\b(everything|Exception|BaseException)\b", caught):
                continue
            raises = isinstance(node.body[-1], ast.Raise)
            if not raises and not re.search(r"noqa: BLE001 - \w", lines[node.lineno - 1]):
                wrong.append(f"{name_of(path)}:{node.lineno}")
    assert wrong == []


def test_a_rule_that_is_switched_off_says_which_and_why() -> None:
    silent = re.compile(r"#\s*(noqa(?!: [A-Z]+[0-9]+)|type: ignore(?!\[))")
    wrong = [
        f"{name_of(path)}:{number}"
        for path in sources("shared", "workers", "deploy")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if silent.search(line)
    ]
    assert wrong == []


# -- tables in step --------------------------------------------------------------------------------


def test_every_event_file_has_a_row_and_every_row_a_file() -> None:
    files = {
        path.stem
        for path in sources("workers/events")
        if any(
            isinstance(node, ast.ClassDef) and node.name == "Model" for node in tree_of(path).body
        )
        or re.search(r"^Model\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    rows = {row.apply.__module__.rsplit(".", 1)[1] for row in EVENTS.values()}
    modules = {row.model.__module__.rsplit(".", 1)[1] for row in EVENTS.values()}
    assert files == rows | modules


def test_the_procfile_is_the_table_of_roles() -> None:
    assert (ROOT / "Procfile").read_text(encoding="utf-8") == procfile()


def test_every_statement_in_a_sql_file_is_used() -> None:
    python = "\n".join(path.read_text(encoding="utf-8") for path in sources("shared", "workers"))
    unused = [
        f"{path.name}: {name}"
        for folder in ("shared", "workers")
        for path in sorted((ROOT / folder).rglob("*.sql"))
        for name in load(path)
        if f'SQL["{name}"]' not in python and f'_SQL["{name}"]' not in python
    ]
    assert unused == []


def test_nothing_names_the_place_it_was_written_in() -> None:
    """Paths of one machine do not belong into a repository."""
    place = re.compile(r"(^|[\s\"'`(])/(work|home/\w+|root/\.cache)/")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in OURS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".sql", ".md", ".php", ".yaml", ".toml"} and path.is_file()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if place.search(line) and path != Path(__file__)
    ]
    assert wrong == []
