"""Laravel's envelopes: recorded vectors, every refusal, and real Laravel in both directions."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.errors import SettingsError
from shared.laravel.encrypter import DecryptError, Encrypter
from shared.laravel.php import PhpObject, PropertyName, Value

KEY = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
SHORT_KEY = "base64:AAECAwQFBgcICQoLDA0ODw=="
OTHER_KEY = "base64:" + base64.b64encode(b"\xa5" * 32).decode()
CBC_IV, GCM_IV = "AAECAwQFBgcICQoLDA0ODw==", "AAECAwQFBgcICQoL"
SERIALIZED = 's:5:"hello";'

CBC = {
    "hello": (
        "f9Etr7fpWZ0LhJrYwuPCHw==",
        "f40c7051a4f7abb4a211791eebb0fa578c412c17728054e5b7fa4756e052ed12",
    ),
    SERIALIZED: (
        "+6PhkQC3hIYgKik4Wr/9AA==",
        "5309c5bf85932ce2d4c733b633896113682aabb147e5d093ff8d8231e9c0374c",
    ),
    "": (
        "6cPvirI0U+bwdJzWNueojg==",
        "f16db41dd0dae690bdd390a6f8772421a3570c4f2ef3d0da2c10378da1bfc56b",
    ),
    "é€😀": (
        "i87hLAPZD7DMU8dNFSVaEA==",
        "65ad1300567cd8504c1228f16333c03280ebfe859b3d10c4728c3fa4d92286a3",
    ),
}
GCM = {
    "hello": ("L2e6d6o=", "J5f/NTuKBG0oI23NnQV7uw=="),
    SERIALIZED: ("NDjjIeeNp3fhLrWw", "Tt1tYOK4QldE7EJi9gOYzg=="),
    "": ("", "9MLbHcOIBaN7khccXQqBzA=="),
    "é€😀": ("hKs0mWkVXYMN", "zLA7woBtMLoy2+tDXvzn7A=="),
}
CBC_HELLO = (
    "eyJpdiI6IkFBRUNBd1FGQmdjSUNRb0xEQTBPRHc9PSIsInZhbHVlIjoiZjlFdHI3ZnBXWjBMaEpyWXd1UENIdz09IiwibW"
    "FjIjoiZjQwYzcwNTFhNGY3YWJiNGEyMTE3OTFlZWJiMGZhNTc4YzQxMmMxNzcyODA1NGU1YjdmYTQ3NTZlMDUyZWQxMiIs"
    "InRhZyI6IiJ9"
)
CBC_HELLO_SERIALIZED = (
    "eyJpdiI6IkFBRUNBd1FGQmdjSUNRb0xEQTBPRHc9PSIsInZhbHVlIjoiKzZQaGtRQzNoSVlnS2lrNFdyLzlBQT09IiwibW"
    "FjIjoiNTMwOWM1YmY4NTkzMmNlMmQ0YzczM2I2MzM4OTYxMTM2ODJhYWJiMTQ3ZTVkMDkzZmY4ZDgyMzFlOWMwMzc0YyIs"
    "InRhZyI6IiJ9"
)
GCM_HELLO = (
    "eyJpdiI6IkFBRUNBd1FGQmdjSUNRb0wiLCJ2YWx1ZSI6IkwyZTZkNm89IiwibWFjIjoiIiwidGFnIjoiSjVmL05UdUtCRz"
    "BvSTIzTm5RVjd1dz09In0="
)


def encrypter(
    key: str = KEY, previous: tuple[str, ...] = (), cipher: str = "AES-256-CBC"
) -> Encrypter:
    """Its iv is 0, 1, 2 ... as in the vectors."""
    old = [SecretStr(one) for one in previous]
    return Encrypter(SecretStr(key), old, cipher, lambda size: bytes(range(size)))


def gcm(previous: tuple[str, ...] = ()) -> Encrypter:
    return encrypter(KEY, previous, "AES-256-GCM")


def sealed(parts: Any) -> str:
    return base64.b64encode(json.dumps(parts).encode()).decode()


def changed(envelope: str, **parts: Any) -> str:
    """The envelope with other parts; `...` takes one out."""
    merged = json.loads(base64.b64decode(envelope)) | parts
    return sealed({name: part for name, part in merged.items() if part is not ...})


# -- vectors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("plain", "value", "mac"), [(k, *v) for k, v in CBC.items()])
def test_a_recorded_cbc_vector_opens_and_is_written_the_same(
    plain: str, value: str, mac: str
) -> None:
    parts = {"iv": CBC_IV, "value": value, "mac": mac, "tag": ""}
    assert encrypter().decrypt_string(sealed(parts)) == plain
    assert json.loads(base64.b64decode(encrypter().encrypt_string(plain))) == parts


@pytest.mark.parametrize(("plain", "value", "tag"), [(k, *v) for k, v in GCM.items()])
def test_a_recorded_gcm_vector_opens_and_is_written_the_same(
    plain: str, value: str, tag: str
) -> None:
    parts = {"iv": GCM_IV, "value": value, "mac": "", "tag": tag}
    assert gcm().decrypt_string(sealed(parts)) == plain
    assert json.loads(base64.b64decode(gcm().encrypt_string(plain))) == parts


def test_whole_envelopes_are_written_byte_for_byte() -> None:
    assert encrypter().encrypt_string("hello") == CBC_HELLO
    assert encrypter().encrypt("hello") == CBC_HELLO_SERIALIZED
    assert gcm().encrypt_string("hello") == GCM_HELLO


def test_encrypt_and_decrypt_go_through_phps_serialization() -> None:
    assert encrypter().decrypt(CBC_HELLO_SERIALIZED) == "hello"
    assert encrypter().decrypt_string(CBC_HELLO_SERIALIZED) == SERIALIZED
    job = PhpObject(r"App\Jobs\X", {PropertyName("id"): 7})
    assert encrypter().decrypt(encrypter().encrypt([job])) == [job]


def test_white_space_around_an_envelope_does_no_harm() -> None:
    assert encrypter().decrypt_string(f" {CBC_HELLO}\n") == "hello"


def test_every_envelope_has_an_iv_of_its_own() -> None:
    fresh = Encrypter(SecretStr(KEY))
    assert fresh.encrypt_string("hello") != fresh.encrypt_string("hello")


CIPHERS = [("AES-128-CBC", SHORT_KEY), ("AES-256-CBC", KEY), ("aes-128-gcm", SHORT_KEY)]
CIPHERS.append(("AES-256-GCM", KEY))


@pytest.mark.parametrize(("cipher", "key"), CIPHERS)
@settings(deadline=None)
@given(plain=st.binary(max_size=70))
def test_what_is_encrypted_is_decrypted_the_same(cipher: str, key: str, plain: bytes) -> None:
    both = Encrypter(SecretStr(key), (), cipher)
    assert both.decrypt_bytes(both.encrypt_string(plain)) == plain


# -- keys ------------------------------------------------------------------------------------------


def test_a_key_may_be_the_bytes_themselves() -> None:
    raw = "0123456789abcdef0123456789abcdef"
    written = "base64:" + base64.b64encode(raw.encode()).decode()
    assert encrypter(raw).decrypt_string(encrypter(written).encrypt_string("x")) == "x"


@pytest.mark.parametrize("cipher", ["AES-256-CBC", "AES-256-GCM"])
def test_a_previous_key_still_decrypts_and_never_encrypts(cipher: str) -> None:
    old, new = encrypter(OTHER_KEY, (), cipher), encrypter(KEY, (OTHER_KEY,), cipher)
    assert new.decrypt_string(old.encrypt_string("old")) == "old"
    assert new.decrypt_string(new.encrypt_string("new")) == "new"
    with pytest.raises(DecryptError, match="neither APP_KEY nor in APP_PREVIOUS_KEYS"):
        old.decrypt_string(new.encrypt_string("new"))


@pytest.mark.parametrize("cipher", ["AES-256-CBC", "AES-256-GCM"])
def test_of_many_keys_the_one_that_fits_is_found(cipher: str) -> None:
    keys = tuple("base64:" + base64.b64encode(bytes([n]) * 32).decode() for n in range(5))
    many = encrypter(KEY, keys, cipher)
    for key in (KEY, *keys):
        assert many.decrypt_string(encrypter(key, (), cipher).encrypt_string(key)) == key


@pytest.mark.parametrize(
    ("key", "previous", "cipher", "detail"),
    [
        (SHORT_KEY, (), "AES-256-CBC", "APP_KEY has 16 bytes and AES-256-CBC needs 32"),
        (KEY, (), "AES-128-GCM", "APP_KEY has 32 bytes and AES-128-GCM needs 16"),
        (KEY, (SHORT_KEY,), "AES-256-CBC", "APP_PREVIOUS_KEYS has 16 bytes"),
        ("base64:####", (), "AES-256-CBC", "no base64"),
        ("", (), "AES-256-CBC", "has 0 bytes"),
        (KEY, (), "AES-256-ECB", "Laravel has AES-128-CBC"),
    ],
)
def test_keys_that_do_not_fit_stop_the_start(
    key: str, previous: tuple[str, ...], cipher: str, detail: str
) -> None:
    with pytest.raises(SettingsError, match=detail) as caught:
        encrypter(key, previous, cipher)
    assert key.removeprefix("base64:") not in str(caught.value) or not key


def test_a_repr_shows_no_key() -> None:
    assert repr(encrypter(KEY, (OTHER_KEY,))) == "Encrypter(AES-256-CBC, 2 keys)"


# -- refusals --------------------------------------------------------------------------------------

FLIPPED = "e40c7051a4f7abb4a211791eebb0fa578c412c17728054e5b7fa4756e052ed12"
TAG = GCM["hello"][1]
TAG_OF_15 = base64.b64encode(base64.b64decode(TAG)[:15]).decode()

REFUSED_CBC = [
    ("not base64!", "not base64 of JSON"),
    ("é", "not base64 of JSON"),
    ("", "not base64 of JSON"),
    (base64.b64encode(b"{").decode(), "not base64 of JSON"),
    (sealed([1]), "its JSON is no object"),
    (changed(CBC_HELLO, iv=...), "no text `iv`"),
    (changed(CBC_HELLO, value=...), "no text `value`"),
    (changed(CBC_HELLO, mac=...), "no text `mac`"),
    (changed(CBC_HELLO, mac=None), "no text `mac`"),
    (changed(CBC_HELLO, iv=["a"]), "no text `iv`"),
    (changed(CBC_HELLO, tag=["a"]), "`tag` is no text"),
    (changed(CBC_HELLO, tag=0), "`tag` is no text"),
    (changed(CBC_HELLO, iv="####"), "`iv` is not base64"),
    (changed(CBC_HELLO, iv=GCM_IV), "`iv` has 12 bytes and AES-256-CBC has 16"),
    (changed(CBC_HELLO, mac=FLIPPED), "MAC is invalid"),
    (changed(CBC_HELLO, mac=CBC["hello"][1].upper()), "MAC is invalid"),
    (changed(CBC_HELLO, mac=""), "MAC is invalid"),
    (changed(CBC_HELLO, mac="é"), "MAC is invalid"),
    (changed(CBC_HELLO, value=CBC[""][0]), "MAC is invalid"),
    (changed(CBC_HELLO, tag=TAG), "AES-256-CBC has not"),
    (GCM_HELLO, "`iv` has 12 bytes"),
]
REFUSED_GCM = [
    (changed(GCM_HELLO, mac=...), "no text `mac`"),
    (changed(GCM_HELLO, tag=...), "`tag` has 0 bytes and must have 16"),
    (changed(GCM_HELLO, tag=TAG_OF_15), "`tag` has 15 bytes and must have 16"),
    (changed(GCM_HELLO, tag="####"), "`tag` is not base64"),
    (changed(GCM_HELLO, tag=GCM[""][1]), "tag is invalid"),
    (changed(GCM_HELLO, value="L2e6d6s="), "tag is invalid"),
    (changed(GCM_HELLO, value="####"), "`value` is not base64"),
    (CBC_HELLO, "`iv` has 16 bytes and AES-256-GCM has 12"),
]


@pytest.mark.parametrize(("envelope", "detail"), REFUSED_CBC)
def test_a_cbc_envelope_that_laravel_would_not_open_is_refused(envelope: str, detail: str) -> None:
    with pytest.raises(DecryptError, match=detail):
        encrypter().decrypt_string(envelope)


@pytest.mark.parametrize(("envelope", "detail"), REFUSED_GCM)
def test_a_gcm_envelope_that_laravel_would_not_open_is_refused(envelope: str, detail: str) -> None:
    with pytest.raises(DecryptError, match=detail):
        gcm().decrypt_string(envelope)


def test_what_laravel_opens_without_is_not_asked_for() -> None:
    assert encrypter().decrypt_string(changed(CBC_HELLO, tag=...)) == "hello"
    assert encrypter().decrypt_string(changed(CBC_HELLO, tag=None)) == "hello"
    assert gcm().decrypt_string(changed(GCM_HELLO, mac="anything")) == "hello"


@pytest.mark.parametrize("value", ["", "AAAA", "AAECAwQFBgcICQoLDA0ODw=="])
def test_a_valid_mac_over_a_broken_text_is_refused(value: str) -> None:
    def signed(plain: str) -> str:
        """An envelope of which only the MAC is right."""
        from shared.laravel.encrypter import _mac  # noqa: PLC0415 - nothing else needs it

        parts = {"iv": CBC_IV, "value": plain}
        return sealed({**parts, "mac": _mac(bytes(range(32)), parts)})

    with pytest.raises(DecryptError, match="its MAC is valid and its `value` is not"):
        encrypter().decrypt_string(signed(value))


def test_a_text_that_is_no_utf8_is_refused_as_text() -> None:
    envelope = encrypter().encrypt_string(b"\xff")
    assert encrypter().decrypt_bytes(envelope) == b"\xff"
    with pytest.raises(DecryptError, match="UTF-8"):
        encrypter().decrypt_string(envelope)


def test_a_plain_text_is_refused_as_a_serialized_value() -> None:
    with pytest.raises(DecryptError, match="no PHP serialization") as caught:
        encrypter().decrypt(CBC_HELLO)
    assert "hello" not in str(caught.value)


def test_errors_show_neither_key_nor_text() -> None:
    envelope = changed(encrypter().encrypt_string("hunter2"), mac=FLIPPED)
    with pytest.raises(DecryptError) as caught:
        encrypter().decrypt_string(envelope)
    shown = str(caught.value)
    assert not any(word in shown for word in (KEY, KEY[7:], "hunter2", FLIPPED, envelope))
    assert caught.value.__cause__ is None


# -- real Laravel ----------------------------------------------------------------------------------

LARAVEL = r"""
require 'bootstrap/autoload.php';
function encrypter($key, $cipher) {
    return new Illuminate\Encryption\Encrypter(base64_decode(substr($key, 7)), $cipher);
}
while (($line = fgets(STDIN)) !== false) {
    [$do, $cipher, $key, $text] = json_decode($line, true);
    $laravel = encrypter($key, $cipher);
    try {
        $said = $do === 'open' ? $laravel->decrypt($text) : $laravel->encrypt($text);
    } catch (Illuminate\Contracts\Encryption\DecryptException $refused) {
        $said = ['refused' => $refused->getMessage()];
    }
    echo json_encode($said), "\n";
}
"""
TEXTS: list[Value] = ["", "hello", "é€😀", "x" * 1000, ["a", {"b": 1.5}], {"k": None, "n": -7}]


@pytest.mark.database
def test_real_laravel_opens_what_python_encrypts_and_the_reverse(
    php: Callable[..., list[str]],
) -> None:
    cases = [(cipher, key, text) for cipher, key in CIPHERS for text in TEXTS]
    asked: list[list[Any]] = [
        ["open", cipher, key, Encrypter(SecretStr(key), (), cipher).encrypt(text)]
        for cipher, key, text in cases
    ]
    asked += [["seal", cipher, key, text] for cipher, key, text in cases]
    answers = [json.loads(line) for line in php(LARAVEL, [json.dumps(one) for one in asked])]
    assert answers[: len(cases)] == [text for _, _, text in cases]
    for (cipher, key, text), envelope in zip(cases, answers[len(cases) :], strict=True):
        assert Encrypter(SecretStr(key), (), cipher).decrypt(envelope) == text


@pytest.mark.database
def test_real_laravel_refuses_what_python_refuses(php: Callable[..., list[str]]) -> None:
    asked = [["open", "AES-256-CBC", KEY, envelope] for envelope, _ in REFUSED_CBC]
    asked += [["open", "AES-256-GCM", KEY, envelope] for envelope, _ in REFUSED_GCM]
    answers = [json.loads(line) for line in php(LARAVEL, [json.dumps(one) for one in asked])]
    assert len(answers) == len(asked)
    assert [one for one, said in zip(asked, answers, strict=True) if "refused" not in said] == []
