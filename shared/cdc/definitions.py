"""Changes that stand in the log as statements: what they do to captured tables, or why they stop
the collector.
"""

from __future__ import annotations

from shared.cdc.errors import SourceStopped
from shared.cdc.events import Query
from shared.cdc.selection import Selection
from shared.cdc.statements import Name, Statement, read
from shared.changes import Change, Table

TEXT_MOST = 10_000
"""Letters of a statement that are told."""


def changes(query: Query, selection: Selection, where: str) -> list[Change]:
    """What happens to captured tables: t, or m with [what, statement], for a rename [.., old, new].
    Their tables have no columns here: the log does not tell any with a statement.

    Raises SourceStopped for a statement that changes rows of a captured table, or may.
    """
    statement = read(query)
    if statement.verb == "harmless":
        return []
    if statement.verb in {"rows", "unknown"}:
        _refuse_rows(statement, query, selection, where)
        return []
    text = query.text.decode("utf-8", "replace")[:TEXT_MOST]
    if statement.verb == "drop_schema":
        schema = statement.tables[0][0]
        return [
            _message((schema, name), ["drop", text])
            for name in _captured_of(schema, selection, where)
        ]
    told = dict.fromkeys(name for name in statement.tables if _captured(name, selection))
    if statement.verb == "truncate":
        return [Change(_table(name), "t", None, None) for name in told]
    if statement.verb == "rename":
        return [
            _message(name, ["rename", text, ".".join(old), ".".join(new)])
            for old, new in statement.moves
            for name in dict.fromkeys((old, new))
            if name in told
        ]
    return [_message(name, [statement.verb, text]) for name in told]


def concerns(query: Query, selection: Selection) -> bool:
    """Whether it changes the definition of a table that is captured or looked at."""
    statement = read(query)
    return statement.verb not in {"harmless", "rows"} and any(
        statement.verb == "drop_schema" or selection.interest(*name) for name in statement.tables
    )


def _refuse_rows(statement: Statement, query: Query, selection: Selection, where: str) -> None:
    if statement.verb == "unknown":
        what, reason = "is of a kind that this version does not know", "unknown_statement"
        named: list[Name] = [(query.schema, "")]
    else:
        what, reason = "changed rows and stands in the log as a statement", "statement_format"
        named = [name for name in statement.tables if _any_interest(name, selection)]
    if named:
        told = query.text.decode("utf-8", "replace")[:200]
        raise SourceStopped(
            reason,
            f"{told!r} at {where} {what}"
            + (f" of {'.'.join(named[0])}" if named[0][1] else ""),
            "SET GLOBAL binlog_format = 'ROW' and let sessions connect again; its rows can only be "
            "read from the table: fleet cdc restart --reason 'statement format'",
        )


def _any_interest(name: Name, selection: Selection) -> bool:
    """Names may be written in other letters than those of the table (lower_case_table_names)."""
    schema, table = name
    return bool(
        selection.interest(schema, table) or selection.interest(schema.lower(), table.lower())
    )


def _captured(name: Name, selection: Selection) -> bool:
    return selection.interest(*name) == "captured"


def _captured_of(schema: str, selection: Selection, where: str) -> list[str]:
    """Captured tables of a whole schema, by their names; patterns name none."""
    found = [name for name in selection.names if _captured((schema, name), selection)]
    if selection.patterns and schema in selection.schemas:
        raise SourceStopped(
            "schema_dropped",
            f"the schema {schema} was dropped at {where}",
            "If that was meant: fleet cdc restart --reason 'schema dropped'",
        )
    return found


def _message(name: Name, after: list[str]) -> Change:
    return Change(_table(name), "m", None, list(after))


def _table(name: Name) -> Table:
    return Table(name[0], name[1], (), (), (), "")
