from __future__ import annotations

import pytest

from shared.dotenv import parse_dotenv
from shared.errors import SettingsError


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A = b ", "b"),
        ("export A=b", "b"),
        ("export   A=b", "b"),
        ("'A'=b", "b"),
        ('"A"=b', "b"),
        ("A=", ""),
        ('A=""', ""),
        ("A=''", ""),
        ('A="Trade Desk"', "Trade Desk"),
        ("A='Trade Desk'", "Trade Desk"),
        ("A=b # note", "b"),
        ("A=b#note", "b"),
        ("A=#note", ""),
        ('A="b#c" # note', "b#c"),
        ("A='b#c'#note", "b#c"),
        ("A=b=c", "b=c"),
        ("A=it's", "it's"),
        (r"A='\n$${B}'", r"\n$${B}"),
        (r'A="q\"q\\q\$q\nq"', 'q"q\\q$q\nq'),
        ("A=base64:AAE+/w==", "base64:AAE+/w=="),
        ("A=${HOME_NAME}/x", "desk/x"),
        ('A="${HOME_NAME} x"', "desk x"),
        ("A='${HOME_NAME}'", "${HOME_NAME}"),
        ("A=${NOT_THERE}", "${NOT_THERE}"),
        (r'A="\${HOME_NAME}"', "${HOME_NAME}"),
        ("A=$HOME_NAME", "$HOME_NAME"),
        ("A=null", "null"),  # typed by settings_sources.literal, not here
    ],
)
def test_reads_a_line_as_laravel_does(line: str, value: str) -> None:
    assert parse_dotenv(line, {"HOME_NAME": "desk"}) == {"A": value}


def test_skips_comments_blank_lines_and_bare_names() -> None:
    assert parse_dotenv("# one\n\n   \n  # two\nA\nB=1\r\nC=2", {}) == {"B": "1", "C": "2"}


def test_a_bare_name_unsets_an_earlier_line() -> None:
    assert parse_dotenv("A=1\nB=2\nA", {}) == {"B": "2"}


def test_a_comment_opens_no_value() -> None:
    assert parse_dotenv('# A="x\nB=1', {}) == {"B": "1"}


def test_joins_the_lines_of_a_double_quoted_value() -> None:
    text = 'KEY="-----BEGIN\nabc\n-----END"\nB=1\nC="\nx\n"\n'
    assert parse_dotenv(text, {}) == {"KEY": "-----BEGIN\nabc\n-----END", "B": "1", "C": "\nx\n"}


def test_expands_earlier_lines_and_lets_the_environment_win() -> None:
    text = "A=1\nB=${A}${C}\nC=late\nA=2\nD=${A}"
    assert parse_dotenv(text, {}) == {"A": "2", "B": "1${C}", "C": "late", "D": "2"}
    assert parse_dotenv("A=1\nB=${A}", {"A": "env"})["B"] == "env"


@pytest.mark.parametrize(
    "line",
    [
        "A=Trade Desk",
        'A="x"y',
        "A='x' y",
        'A="x',
        "A='x",
        r'A="\q"',
        "A B=1",
        "A-B=1",
        "=1",
    ],
)
def test_refuses_what_phpdotenv_refuses_and_says_where(line: str) -> None:
    with pytest.raises(SettingsError, match="line 2"):
        parse_dotenv("OK=1\n" + line, {})


def test_an_error_does_not_show_the_value() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_dotenv("DB_PASSWORD=hunter two", {})
    assert "DB_PASSWORD" in str(caught.value)
    assert "hunter" not in str(caught.value)
