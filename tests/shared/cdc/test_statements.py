"""Statements of the log: what they do to which tables, however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cdc import definitions
from shared.cdc.errors import SourceStopped
from shared.cdc.events import Query
from shared.cdc.selection import Schemas, Selection
from shared.cdc.statements import read, tokens

SELECTION = Selection(Schemas("app", "app"), ("t", "u"), {})


def query(text: str, schema: str = "app", *, ansi: bool = False, plain: bool = False) -> Query:
    return Query(schema, text.encode(), ansi, plain)


def told(text: str, schema: str = "app") -> list[tuple[str, str, str]]:
    """Table, op, and what a message says."""
    found = definitions.changes(query(text, schema), SELECTION, "log:4")
    return [(one.table.name, one.op, str(one.after[0]) if one.after else "") for one in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TRUNCATE t", [("t", "t", "")]),
        ("truncate table `app` . `t` WAIT 5", [("t", "t", "")]),
        ("/* why */ -- not\n TRUNCATE /*!50000 TABLE */ t", [("t", "t", "")]),
        ("DROP TABLE IF EXISTS x, `t`, app.u /* why */", [("t", "m", "drop"), ("u", "m", "drop")]),
        ("DROP TEMPORARY TABLE t", []),
        ("DROP TABLE elsewhere.t", []),
        ("RENAME TABLE t TO x, y TO u", [("t", "m", "rename"), ("u", "m", "rename")]),
        ("ALTER TABLE x RENAME TO t", [("t", "m", "rename")]),
        ("ALTER TABLE t RENAME COLUMN a TO b", [("t", "m", "alter")]),
        ("ALTER ONLINE TABLE t ADD rename_to INT COMMENT 'drop partition'", [("t", "m", "alter")]),
        ("ALTER TABLE t DROP PARTITION p1", [("t", "m", "alter_rows")]),
        ("ALTER TABLE x EXCHANGE PARTITION p WITH TABLE t", [("t", "m", "alter_rows")]),
        ("CREATE UNIQUE INDEX i USING BTREE ON t (a)", [("t", "m", "alter")]),
        ("CREATE OR REPLACE TABLE t (a INT)", [("t", "m", "create")]),
        ("CREATE TABLE IF NOT EXISTS t LIKE x", [("t", "m", "create")]),
        ("CREATE TEMPORARY TABLE t (a INT)", []),
        ("CREATE DEFINER=`a`@`%` TRIGGER i AFTER INSERT ON t FOR EACH ROW DELETE FROM u", []),
        ("GRANT SELECT ON t TO 'x'", []),
        ("ANALYZE TABLE t", []),
        ("DROP DATABASE app", [("t", "m", "drop"), ("u", "m", "drop")]),
        ("DROP SCHEMA IF EXISTS other", []),
        ("CREATE DATABASE app", []),
    ],
)
def test_what_a_statement_does_to_captured_tables(
    text: str, expected: list[tuple[str, str, str]]
) -> None:
    assert told(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (1)",
        "insert into`t`values(1)",
        "REPLACE app.t SET a = 1",
        "UPDATE x JOIN t USING (id) SET x.a = 1",
        "DELETE FROM x USING x, app . t",
        "LOAD DATA INFILE 'f' INTO TABLE `t`",
        "WITH c AS (SELECT 1) DELETE FROM t",
        "(INSERT INTO t SELECT 1)",
        "/*!40000 INSERT INTO t VALUES (1) */",
        "INSERT INTO x SELECT * FROM T",
        "UPDATE fleet_cdc_heartbeat SET n = 1",
    ],
)
def test_a_statement_that_changes_rows_of_a_captured_table_stops(text: str) -> None:
    with pytest.raises(SourceStopped) as stopped:
        told(text)
    assert stopped.value.reason == "statement_format"
    assert "binlog_format" in stopped.value.cure


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO x VALUES ('t', \"t\", 'it''s \\' t')",
        "INSERT INTO x VALUES (1) -- into t",
        "UPDATE x SET a = 't' /* t */",
        "DELETE FROM elsewhere.x",
    ],
)
def test_a_name_in_a_text_or_comment_is_no_table(text: str) -> None:
    assert told(text) == []


def test_quotes_mean_what_the_session_said() -> None:
    text = 'INSERT INTO "t" VALUES (1)'
    assert ("app", "t") in read(query(text, ansi=True)).tables
    assert ("app", "t") not in read(query(text)).tables
    text = r"INSERT INTO x VALUES ('\'), (t)"
    assert ("app", "t") in read(query(text, plain=True)).tables
    assert ("app", "t") not in read(query(text)).tables


def test_a_statement_in_another_schema_is_not_about_ours() -> None:
    assert told("TRUNCATE t", schema="other") == []
    assert told("TRUNCATE app.t", schema="other") == [("t", "t", "")]


def test_a_word_that_nobody_knows_stops() -> None:
    with pytest.raises(SourceStopped) as stopped:
        told("FROBNICATE x")
    assert stopped.value.reason == "unknown_statement"


@given(st.text(alphabet="ab'\"`\\ /*!-#\n.,", max_size=40))
def test_any_text_has_an_end(text: str) -> None:
    for ansi in (False, True):
        assert len(list(tokens(text, ansi_quotes=ansi))) <= len(text)
