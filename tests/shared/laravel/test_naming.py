from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SettingsError
from shared.laravel.naming import (
    cache_prefixes,
    choose,
    doubtful,
    horizon_prefix,
    keys_of_laravel,
    redis_prefixes,
    slug,
)

# Observed in Laravel 8.83, 10.48 and 13.31.
SLUGS = [
    ("Laravel", "laravel"),
    ("My App", "my_app"),
    ("Acme & Co.", "acme_co"),
    ("acme-shop", "acme_shop"),
    ("Foo_Bar Baz", "foo_bar_baz"),
    ("foo--bar__baz", "foo_bar_baz"),
    ("Café Déjà", "cafe_deja"),
    ("Größe", "grosse"),
    ("Ümlaut ß", "umlaut_ss"),
    ("Привет мир", "privet_mir"),
    ("user@host", "user_at_host"),
    ("A.B.C", "abc"),
    ("v2.0", "v20"),
    ("App (Dev)", "app_dev"),
    ("C++", "c"),
    ("50% off", "50_off"),
    ("a/b", "ab"),
    ("日本語", ""),
    ("!!!", ""),
]


@pytest.mark.parametrize(("name", "expected"), SLUGS)
@pytest.mark.parametrize("separator", ["_", "-"])
def test_slug_equals_laravels(name: str, expected: str, separator: str) -> None:
    assert slug(name, separator) == expected.replace("_", separator)


@given(st.text())
def test_slug_is_plain_and_a_fixed_point(name: str) -> None:
    once = slug(name, "_")
    assert once == once.strip("_")
    assert all(c == "_" or (c.isascii() and c.isalnum()) for c in once)
    assert slug(once, "_") == once


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # observed in 10.48 and 13.31; common transliterations differ
        ("Жучок Цех Щит", "zucok_cex_shhit"),
        ("Ёлка", "elka"),
        ("Łódź Żółw", "lodz_zolw"),
        ("İzmir Şans", "izmir_sans"),
        ("日本円", "jpy"),
        ("5 € 元", "5_eur_cny"),
        ("한국", ""),
        ("Œuvre ﬁn", "oeuvre_fin"),
    ],
)
def test_slug_takes_laravels_own_transliteration(name: str, expected: str) -> None:
    assert slug(name, "_") == expected


def test_doubtful_names_only_what_was_not_compared() -> None:
    assert doubtful("Trade Desk € Größe 日本語 Привет") == ""
    assert doubtful("Θ desk") == "Θ"


def test_a_written_prefix_is_certain_even_when_empty() -> None:
    assert redis_prefixes("Trade Desk", "x:") == ("x:",)
    assert redis_prefixes("Trade Desk", "") == ("",)
    assert cache_prefixes("Trade Desk", "") == ("",)


def test_an_unwritten_prefix_has_both_separators() -> None:
    assert redis_prefixes("Trade Desk", None) == ("trade_desk_database_", "trade-desk-database-")
    assert redis_prefixes("日本語", None) == ("_database_", "-database-")
    assert cache_prefixes("Laravel", None) == ("laravel_cache_", "laravel_cache", "laravel-cache-")


def test_horizon_keeps_underscores_and_never_is_empty() -> None:
    assert horizon_prefix("Trade Desk", None) == "trade_desk_horizon:"
    assert horizon_prefix("Trade Desk", "") == "horizon:"
    assert horizon_prefix("Trade Desk", "h:") == "h:"


def test_choose_takes_the_candidate_in_use() -> None:
    keys = {"a-database-queues:default"}
    chosen = choose(
        "REDIS_PREFIX", ("a_database_", "a-database-"), lambda p: any(k.startswith(p) for k in keys)
    )
    assert chosen == "a-database-"


@pytest.mark.parametrize("in_use", [True, False])
def test_choose_refuses_none_and_both_and_names_the_lines(*, in_use: bool) -> None:
    with pytest.raises(SettingsError) as caught:
        choose("REDIS_PREFIX", ("a_database_", "a-database-"), lambda _: in_use)
    assert "REDIS_PREFIX=a_database_ or REDIS_PREFIX=a-database-" in str(caught.value)


def test_choose_does_not_ask_when_nothing_is_ambiguous() -> None:
    def never(prefix: str) -> bool:
        raise AssertionError(prefix)

    assert choose("REDIS_PREFIX", ("x", "x"), never) == "x"


def test_keys_of_laravel_are_exact_names() -> None:
    keys = list(keys_of_laravel("p_", ["default"]))
    assert keys == [
        "p_fleet:partitions",
        "p_queues:default",
        "p_queues:default:notify",
        "p_queues:default:delayed",
        "p_queues:default:reserved",
    ]
