from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from shared.masking import MASK, Mask, secrets_of

SECRET = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=4, max_size=40)


class Inner(BaseModel):
    password: SecretStr


class Outer(BaseModel):
    inner: Inner
    url: str
    keys: tuple[SecretStr, ...] = ()


def test_finds_secrets_at_any_depth_and_in_urls() -> None:
    found = secrets_of(
        Outer(
            inner=Inner(password=SecretStr("first-secret")),
            url="redis://user:p%40ss-word@host/0",
            keys=(SecretStr("base64:c2Vjb25k"), SecretStr("mysql://u:url-word@h/d")),
        )
    )
    assert {"first-secret", "p@ss-word", "base64:c2Vjb25k", "url-word"} <= found


@given(SECRET, st.text(max_size=20), st.text(max_size=20))
def test_a_known_secret_never_survives(secret: str, before: str, after: str) -> None:
    mask = Mask([secret])
    for shown in (secret, quote(secret, safe="")):
        assert shown not in mask.text(before + " " + shown + " " + after).replace(MASK, "")


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach redis://:hunter22@10.0.0.1:6379/0",
        "mysql://fleet:hunter22@db/fleet?x=1 refused",
        "postgresql://u:hunter22/with@slash@h/d",
        "redis://:hunter22@a:1,redis://:hunter22@b:2",
        "apiKey=hunter22&timestamp=1",
        '{"api_secret": "hunter22"}',
        "password: hunter22",
        "Authorization: Bearer hunter22",
    ],
)
def test_secrets_of_strangers_are_masked_by_their_shape(text: str) -> None:
    assert "hunter22" not in Mask().text(text)


def test_values_under_secret_names_are_masked_at_any_depth() -> None:
    masked = Mask().deep({"rows": [{"api_key": "k-1234", "qty": "5"}], "DB-PASSWORD": "x"})
    assert masked == {"rows": [{"api_key": MASK, "qty": "5"}], "DB-PASSWORD": MASK}


def test_ordinary_text_stays_readable() -> None:
    text = "order 42 at 2026-01-01T00:00:00Z for user@example.com: 0.5 BTC"
    assert Mask(["longsecret"]).text(text) == text
    assert Mask(["abc"]).text("abc") == "abc"  # too short to be hidden without harm


def test_shows_no_secret_of_its_own() -> None:
    assert "topsecret" not in repr(Mask(["topsecret"]))
