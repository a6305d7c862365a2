"""PHP serialization: recorded vectors, made-up values both ways, and the same through real PHP."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.laravel.php import (
    PROTECTED,
    Key,
    PhpCustom,
    PhpEnum,
    PhpFormatError,
    PhpObject,
    PropertyName,
    Value,
    dumps,
    loads,
    same_class,
)
from shared.laravel.php_read import MAX_REPEATED_BYTES
from shared.laravel.php_values import INT_MAX, INT_MIN, MAX_DEPTH, array_key
from shared.laravel.php_write import float_text


def public(**members: Value) -> dict[PropertyName, Value]:
    return {PropertyName(name): value for name, value in members.items()}


def nul(text: str) -> bytes:
    """A vector as it is printed: ~ stands for NUL."""
    return text.replace("~", "\0").encode()


MIXED_KEYS: Value = {"k": "v", 5: "n", -3: "m", "05": "z", "": "e"}
NO_TRAIT = PhpObject(
    "NoTrait",
    {
        PropertyName("a"): 1,
        PropertyName("b", PROTECTED): 2,
        PropertyName("c", "NoTrait"): 3,
        PropertyName("t"): None,
    },
)
CHILD = PhpObject(
    "Chi", {PropertyName("p", "Par"): "parentpriv", PropertyName("p", "Chi"): "childpriv"}
)
MODEL = PhpObject(
    r"Illuminate\Contracts\Database\ModelIdentifier",
    public(**{"class": r"App\Models\User"}, id=7, relations=["posts"], connection="mysql"),
)
MODEL_TEXT = (
    r'"Illuminate\Contracts\Database\ModelIdentifier":%d:{s:5:"class";s:15:"App\Models\User";'
    r's:2:"id";i:7;s:9:"relations";a:1:{i:0;s:5:"posts";}s:10:"connection";s:5:"mysql";%s}'
)
COLLECTION = PhpObject(
    r"Illuminate\Support\Collection",
    {
        PropertyName("items", PROTECTED): [1, "a"],
        PropertyName("escapeWhenCastingToString", PROTECTED): False,
    },
)
DATE = PhpObject(
    "DateTimeImmutable",
    public(date="2024-01-02 03:04:05.678901", timezone_type=3, timezone="Europe/Paris"),
)
PLAIN_JOB = PhpObject(
    r"App\Jobs\PlainJob",
    {
        PropertyName("name"): "al",
        PropertyName("secret", PROTECTED): "sec",
        PropertyName("own", r"App\Jobs\PlainJob"): "own",
    },
)
PLAIN_JOB_OF_8 = PhpObject(
    PLAIN_JOB.class_name,
    PLAIN_JOB.properties
    | public(
        n=3, job=None, connection=None, queue=None, chainConnection=None, chainQueue=None,
        chainCatchCallbacks=None, delay=None, afterCommit=None, middleware=[], chained=[],
    ),
)  # fmt: skip
PLAIN_JOB_MEMBERS = (
    r's:4:"name";s:2:"al";s:9:"~*~secret";s:3:"sec";s:22:"~App\Jobs\PlainJob~own";s:3:"own";'
)
CHAIN_HEAD = PhpObject(
    r"App\Jobs\ChainA",
    public(chained=[r'O:15:"App\Jobs\ChainA":1:{s:1:"v";i:2;}'], chainQueue="q2"),
)
CHAIN_MEMBERS = (
    r'{s:7:"chained";a:1:{i:0;s:39:"O:15:"App\Jobs\ChainA":1:{s:1:"v";i:2;}";}'
    r's:10:"chainQueue";s:2:"q2";}'
)
COLLECTION_MEMBERS = (
    '{s:8:"~*~items";a:2:{i:0;i:1;i:1;s:1:"a";}s:28:"~*~escapeWhenCastingToString";b:0;}'
)
DATE_MEMBERS = (
    '{s:4:"date";s:26:"2024-01-02 03:04:05.678901";s:13:"timezone_type";i:3;'
    's:8:"timezone";s:12:"Europe/Paris";}'
)

VECTORS: list[tuple[str, Value]] = [
    ("N;", None),
    ("b:1;", True),
    ("b:0;", False),
    ("i:42;", 42),
    ("i:-7;", -7),
    ("d:0.1;", 0.1),
    ("d:1;", 1.0),
    ("d:1.0E+100;", 1e100),
    ("d:INF;", math.inf),
    ("d:-INF;", -math.inf),
    ('s:9:"é€😀";', "é€😀"),
    ('s:5:"a"b;c";', 'a"b;c'),
    ("a:0:{}", []),
    ("a:2:{i:0;i:1;i:1;i:2;}", [1, 2]),
    (
        'a:5:{s:1:"k";s:1:"v";i:5;s:1:"n";i:-3;s:1:"m";s:2:"05";s:1:"z";s:0:"";s:1:"e";}',
        MIXED_KEYS,
    ),
    ('O:7:"NoTrait":4:{s:1:"a";i:1;s:4:"~*~b";i:2;s:10:"~NoTrait~c";i:3;s:1:"t";N;}', NO_TRAIT),
    (
        'O:3:"Chi":2:{s:6:"~Par~p";s:10:"parentpriv";s:6:"~Chi~p";s:9:"childpriv";}',
        CHILD,
    ),
    ('E:11:"Suit:Hearts";', PhpEnum("Suit", "Hearts")),
    ('E:3:"U:A";', PhpEnum("U", "A")),
    ('C:3:"Foo":2:{..}', PhpCustom("Foo", b"..")),
    (
        "O:45:" + MODEL_TEXT % (5, 's:15:"collectionClass";N;'),
        PhpObject(MODEL.class_name, MODEL.properties | public(collectionClass=None)),
    ),
    ("O:45:" + MODEL_TEXT % (4, ""), MODEL),
    (r'O:29:"Illuminate\Support\Collection":2:' + COLLECTION_MEMBERS, COLLECTION),
    ('O:17:"DateTimeImmutable":3:' + DATE_MEMBERS, DATE),
    (r'O:17:"App\Jobs\PlainJob":3:{' + PLAIN_JOB_MEMBERS + "}", PLAIN_JOB),
    (
        r'O:17:"App\Jobs\PlainJob":14:{' + PLAIN_JOB_MEMBERS + 's:1:"n";i:3;s:3:"job";N;'
        's:10:"connection";N;s:5:"queue";N;s:15:"chainConnection";N;s:10:"chainQueue";N;'
        's:19:"chainCatchCallbacks";N;s:5:"delay";N;s:11:"afterCommit";N;'
        's:10:"middleware";a:0:{}s:7:"chained";a:0:{}}',
        PLAIN_JOB_OF_8,
    ),
    (r'O:15:"App\Jobs\ChainA":2:' + CHAIN_MEMBERS, CHAIN_HEAD),
]


@pytest.mark.parametrize(("text", "value"), VECTORS, ids=lambda one: str(one)[:40])
def test_a_recorded_vector_reads_and_is_written_the_same(text: str, value: Value) -> None:
    found = loads(nul(text))
    assert found == value
    assert type(found) is type(value)
    assert dumps(value) == nul(text)


# -- what values become ----------------------------------------------------------------------------


def test_nan_reads_and_is_written() -> None:
    found = loads(b"d:NAN;")
    assert isinstance(found, float)
    assert math.isnan(found)
    assert dumps(found) == b"d:NAN;"


def test_a_length_counts_bytes_not_characters() -> None:
    assert dumps("é€😀") == 's:9:"é€😀";'.encode()
    with pytest.raises(PhpFormatError, match="does not end where its length says"):
        loads('s:3:"é€😀";'.encode())


def test_a_text_that_is_no_utf8_stays_bytes() -> None:
    assert loads(b's:2:"\xff\x00";') == b"\xff\x00"
    assert dumps(b"\xff\x00") == b's:2:"\xff\x00";'
    assert loads(b'a:1:{s:1:"\xff";i:1;}') == {b"\xff": 1}


def test_keys_that_count_from_zero_in_order_make_a_list_and_no_others_do() -> None:
    assert loads(b"a:2:{i:0;N;i:1;N;}") == [None, None]
    assert loads(b"a:2:{i:1;N;i:0;N;}") == {1: None, 0: None}
    assert loads(b"a:1:{i:1;N;}") == {1: None}
    assert dumps({}) == b"a:0:{}"


@pytest.mark.parametrize("key", ["0", "5", "-3", "9223372036854775807", "-9223372036854775808"])
def test_a_text_key_that_reads_as_an_integer_is_one(key: str) -> None:
    assert dumps({key: 1}) == f"a:1:{{i:{key};i:1;}}".encode()
    assert loads(f'a:1:{{s:{len(key)}:"{key}";i:1;}}'.encode()) in ({int(key): 1}, [1])


@pytest.mark.parametrize(
    "key", ["-0", "00", "05", "+1", " 1", "1.0", "1e3", "", "9223372036854775808", "٣", "5\n"]
)
def test_other_text_keys_stay_text(key: str) -> None:
    assert dumps({key: 1}) == f'a:1:{{s:{len(key.encode())}:"{key}";i:1;}}'.encode()
    assert loads(dumps({key: 1})) == {key: 1}


def test_an_objects_property_keeps_a_numeric_name_as_it_was_written() -> None:
    as_text = b'O:8:"stdClass":1:{s:1:"5";i:1;}'
    as_number = b'O:11:"ArrayObject":1:{i:5;i:1;}'
    assert dumps(loads(as_text)) == as_text
    assert dumps(loads(as_number)) == as_number


def test_get_finds_a_property_by_its_plain_name_whatever_its_visibility() -> None:
    assert [NO_TRAIT.get(name) for name in "abc"] == [1, 2, 3]
    assert NO_TRAIT.get("t", "default") is None
    assert NO_TRAIT.get("x", "default") == "default"


def test_get_prefers_the_objects_own_class_to_its_parents() -> None:
    assert CHILD.get("p") == "childpriv"
    reversed_order = dict(reversed(CHILD.properties.items()))
    assert PhpObject("chi", reversed_order).get("p") == "childpriv"
    assert PhpObject("Chi", {**CHILD.properties, PropertyName("p", "Chi"): 1}).get("p") == 1
    public_in_child: dict[PropertyName, Value] = {
        PropertyName("p"): "public",
        PropertyName("p", "Par"): "private",
    }
    assert PhpObject("Chi", public_in_child).get("p") == "public"


def test_names_of_classes_compare_as_in_php() -> None:
    assert same_class(r"App\Jobs\X", r"APP\jobs\x")
    assert not same_class("Jobs\u00c9", "Jobs\u00e9")


def test_names_with_any_bytes_go_out_as_they_came_in() -> None:
    text = b'O:3:"F\xffo":2:{s:4:"\0*\0\xfe";i:1;s:6:"\0F\xffo\0x";i:2;}'
    found = loads(text)
    assert isinstance(found, PhpObject)
    assert found.get("x") == 2
    assert dumps(found) == text


def test_reprs_show_no_value() -> None:
    secret = PhpObject("A", public(token="hunter2"))
    assert "hunter2" not in repr([secret, PhpCustom("A", b"hunter2")])


# -- one object in many places ---------------------------------------------------------------------


def test_an_object_in_two_places_is_one_object() -> None:
    text = b'a:2:{i:0;O:8:"stdClass":0:{}i:1;r:2;}'
    found = loads(text)
    assert isinstance(found, list)
    assert found[0] is found[1]
    assert dumps(found) == text


def test_a_shared_place_has_a_number_and_a_reference_has_none() -> None:
    shared = loads(b'a:4:{i:0;O:1:"A":0:{}i:1;r:2;i:2;O:1:"B":0:{}i:3;r:4;}')
    assert isinstance(shared, list)
    assert shared[3] is shared[2]
    referenced = loads(b'a:4:{i:0;O:1:"A":0:{}i:1;R:2;i:2;O:1:"B":0:{}i:3;r:3;}')
    assert isinstance(referenced, list)
    assert (referenced[1], referenced[3]) == (referenced[0], referenced[2])
    assert referenced[3] is referenced[2]


def test_a_reference_gives_the_value_it_refers_to() -> None:
    assert loads(b"a:2:{i:0;i:1;i:1;R:2;}") == [1, 1]
    assert loads(b"a:3:{i:0;a:1:{i:0;i:9;}i:1;R:2;i:2;R:3;}") == [[9], [9], 9]


def test_keys_and_the_case_of_an_enum_are_counted_as_in_php() -> None:
    text = b'a:3:{s:1:"a";E:6:"Suit:A";s:1:"b";r:2;s:1:"c";E:6:"Suit:B";}'
    suit = PhpEnum("Suit", "A")
    assert dumps({"a": suit, "b": PhpEnum("Suit", "A"), "c": PhpEnum("Suit", "B")}) == text
    assert loads(text) == {"a": suit, "b": suit, "c": PhpEnum("Suit", "B")}


def test_an_object_may_hold_itself() -> None:
    text = b'O:8:"stdClass":1:{s:4:"self";r:1;}'
    found = loads(text)
    assert isinstance(found, PhpObject)
    assert found.get("self") is found
    assert dumps(found) == text


def test_equal_objects_are_not_one_object() -> None:
    assert dumps([PhpObject("A"), PhpObject("A")]) == b'a:2:{i:0;O:1:"A":0:{}i:1;O:1:"A":0:{}}'


def test_a_list_in_two_places_is_written_twice() -> None:
    one: list[Value] = [1]
    assert dumps([one, one]) == b"a:2:{i:0;a:1:{i:0;i:1;}i:1;a:1:{i:0;i:1;}}"


def test_a_reference_past_a_custom_payload_is_refused() -> None:
    head = b'a:3:{i:0;O:1:"A":0:{}i:1;C:1:"B":4:{i:1;}i:2;'
    assert isinstance(loads(head + b"r:2;}"), list)
    assert isinstance(loads(head + b"r:3;}"), list)
    with pytest.raises(PhpFormatError, match="C:"):
        loads(b'a:3:{i:0;C:1:"B":4:{i:1;}i:1;O:1:"A":0:{}i:2;r:3;}')
    custom, one = PhpCustom("B", b"i:1;"), PhpObject("A")
    assert dumps([one, custom, one, custom]).endswith(b'"B":4:{i:1;}i:2;r:2;i:3;r:3;}')
    with pytest.raises(ValueError, match="cannot stand in two places"):
        dumps([custom, one, one])


# -- refusals --------------------------------------------------------------------------------------

REFUSED = [
    ("", "too early", 0),
    ("N", "no value begins here", 0),
    ("n;", "no value", 0),
    ("N;N;", "bytes follow", 2),
    ("a:0:{};", "bytes follow", 6),
    ("b:2;", "no value", 0),
    ("i:9223372036854775808;", "64 bits", 22),
    ("i:-9223372036854775809;", "64 bits", 23),
    ("i:99999999999999999999;", "64 bits", 23),
    ("i:0x1;", "no value", 0),
    ("i:1", "no value", 0),
    ("d:inf;", "no value", 0),
    ("d:1e;", "no value", 0),
    ("d:;", "no value", 0),
    ('s:-1:"";', "no value", 0),
    ('s:5:"abc";', "its length", 5),
    ('s:3:"abcd";', "its length", 5),
    ('s:9999999999:"a";', "its length", 14),
    ('S:1:"a";', "no value", 0),
    ("a:1:{i:0;i:1;", "too early", 13),
    ("a:2:{i:0;i:1;}", "a key", 13),
    ("a:1:{i:0;i:1;i:1;i:2;}", "`}`", 13),
    ("a:9999999999:{", "too early", 14),
    ("a:1:{N;i:1;}", "a key", 5),
    ("a:1:{d:1;i:1;}", "a key", 5),
    ("a:2:{i:0;i:1;i:0;i:2;}", "twice", 17),
    ('a:2:{i:5;i:1;s:1:"5";i:2;}', "twice", 21),
    ('O:1:"A":2:{s:1:"x";i:1;s:1:"x";i:2;}', "twice", 31),
    ('O:0:"":0:{}', "no class", 6),
    (r'O:2:"\A":0:{}', "no class", 8),
    ('O:3:"A B":0:{}', "no class", 9),
    ('O:3:"A~B":0:{}', "no class", 9),
    ('O:1:"A":{}', "count", 7),
    ('O:1:"A":1:{s:2:"~a";i:1;}', "scope", 20),
    ('O:1:"A":1:{s:3:"~~a";i:1;}', "scope", 21),
    ('O:1:"A":1:{s:5:"~*~~a";i:1;}', "scope", 23),
    ('E:4:"Suit";', "Class:Case", 11),
    ('E:5:":Case";', "Class:Case", 12),
    ('C:1:"A":3:{..}', "its length", 11),
    ("r:1;", "holds itself", 4),
    ("R:1;", "value 1 of 0", 4),
    ("a:1:{i:0;r:0;}", "value 0", 13),
    ("a:1:{i:0;r:9;}", "value 9 of 2", 13),
    ("a:1:{i:0;R:1;}", "holds itself", 13),
    ("a:2:{i:0;i:1;i:1;r:2;}", "does not refer to an object", 21),
]  # fmt: skip


@pytest.mark.parametrize(("text", "detail", "position"), REFUSED)
def test_what_php_would_not_write_is_refused(text: str, detail: str, position: int) -> None:
    with pytest.raises(PhpFormatError, match=detail) as caught:
        loads(nul(text))
    assert caught.value.position == position


def test_a_message_shows_nothing_of_the_text() -> None:
    with pytest.raises(PhpFormatError) as caught:
        loads(b'a:1:{s:6:"secret";s:7:"hunter2";x}')
    assert "secret" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def nested(levels: int) -> bytes:
    return b"a:1:{i:0;" * levels + b"N;" + b"}" * levels


def test_nesting_is_bounded() -> None:
    deepest = loads(nested(MAX_DEPTH))
    assert dumps(deepest) == nested(MAX_DEPTH)
    with pytest.raises(PhpFormatError, match="deeper"):
        loads(nested(MAX_DEPTH + 1))
    with pytest.raises(ValueError, match="deeper"):
        dumps([deepest])


def test_many_short_nests_are_not_one_deep_one() -> None:
    row = b"".join(b"i:%d;a:1:{i:0;N;}" % index for index in range(MAX_DEPTH * 2))
    assert isinstance(loads(b"a:%d:{%b}" % (MAX_DEPTH * 2, row)), list)


def test_references_cannot_repeat_more_than_the_bound() -> None:
    """A billion laughs: every level holds the one below it twice."""
    text, number = b"a:1:{i:0;i:1;}", 90
    for level in range(number):
        text = b"a:2:{i:0;%bi:1;R:%d;}" % (text, number + 1 - level)
    with pytest.raises(PhpFormatError, match=f"repeat more than {MAX_REPEATED_BYTES}"):
        loads(text)


def test_references_nest_no_deeper_than_what_is_written_out() -> None:
    def wrapped(levels: int, number: int) -> bytes:
        return b"a:1:{i:0;" * levels + b"R:%d;" % number + b"}" * levels

    half, rest = MAX_DEPTH // 2, MAX_DEPTH // 2 - 1  # and one level for the array around them
    found = loads(b"a:2:{i:0;%bi:1;%b}" % (nested(half), wrapped(rest, 2)))
    assert dumps(found) == b"a:2:{i:0;%bi:1;%b}" % (nested(half), nested(half + rest))
    for too_deep in (
        b"a:2:{i:0;%bi:1;%b}" % (nested(half), wrapped(rest + 1, 2)),
        # The second is as deep as it may be, so the third may not hold it one level deeper.
        b"a:3:{i:0;%bi:1;%bi:2;%b}" % (nested(half), wrapped(rest, 2), wrapped(1, half + 3)),
    ):
        with pytest.raises(PhpFormatError, match="deeper"):
            loads(too_deep)


def test_references_to_one_large_text_are_bounded_too() -> None:
    large = b's:100000:"%b";' % (b"x" * 100_000)
    few = b"".join(b"i:%d;R:2;" % index for index in range(1, 11))
    assert isinstance(loads(b"a:11:{i:0;%b%b}" % (large, few)), list)
    with pytest.raises(PhpFormatError, match="repeat more"):
        loads(b"a:12:{i:0;%b%bi:11;R:2;}" % (large, few))


def outcome(data: bytes) -> Value | PhpFormatError:
    try:
        return loads(data)
    except PhpFormatError as error:
        return error


@settings(deadline=None)
@given(st.binary(max_size=80) | st.text('abdisOECRrN:;{}"0123.-\0*A', max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused_and_never_crash(data: bytes) -> None:
    found = outcome(data)
    if isinstance(found, PhpFormatError):
        assert 0 <= found.position <= len(data)
    else:
        assert described(loads(dumps(found))) == described(found)


@settings(deadline=None)
@given(st.data())
def test_a_broken_text_is_read_or_refused_and_never_crashes(data: st.DataObject) -> None:
    text = bytearray(nul(data.draw(st.sampled_from(VECTORS))[0]))
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    found = outcome(bytes(text))
    if isinstance(found, PhpFormatError):
        assert 0 <= found.position <= len(text)
    else:
        assert described(loads(dumps(found))) == described(found)


# -- writing ---------------------------------------------------------------------------------------

FLOATS = [
    (0.0, "0"), (-0.0, "-0"), (1.0, "1"), (-1.5, "-1.5"), (0.1, "0.1"), (100000.0, "100000"),
    (0.1 + 0.2, "0.30000000000000004"), (123456789012345.6, "123456789012345.6"),
    (1e15, "1000000000000000"), (1e16, "10000000000000000"), (1e17, "1.0E+17"),
    (1.5e16, "15000000000000000"), (99999999999999980.0, "99999999999999980"),
    (1.2345678901234568e17, "1.2345678901234568E+17"), (1e22, "1.0E+22"), (1e100, "1.0E+100"),
    (0.0001, "0.0001"), (0.00012345, "0.00012345"), (0.00001, "1.0E-5"), (-1.2345e-5, "-1.2345E-5"),
    (5e-324, "5.0E-324"), (1.7976931348623157e308, "1.7976931348623157E+308"),
    (math.inf, "INF"), (-math.inf, "-INF"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), FLOATS)
def test_floats_are_written_in_phps_shortest_form(value: float, text: str) -> None:
    assert float_text(value) == text


@pytest.mark.parametrize("value", [INT_MIN - 1, INT_MAX + 1])
def test_an_integer_of_more_than_64_bits_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        dumps(value)
    with pytest.raises(ValueError, match="64 bits"):
        dumps({value: 1})


@pytest.mark.parametrize("value", [(1,), {1}, object(), [object()]])
def test_a_type_that_php_has_not_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="has no form in PHP"):
        dumps(value)


@pytest.mark.parametrize("key", [None, 1.5, True, (1,)])
def test_a_key_that_php_has_not_is_refused(key: Any) -> None:
    with pytest.raises(TypeError, match="no key of a PHP array"):
        dumps({key: 1})


def test_two_keys_that_are_one_to_php_are_refused() -> None:
    with pytest.raises(ValueError, match="one key"):
        dumps({5: 1, "5": 2})


@pytest.mark.parametrize("name", ["", r"\App\Jobs\X", "A B", "A\0B"])
def test_a_name_that_no_class_has_is_refused(name: str) -> None:
    for value in (PhpObject(name), PhpEnum(name, "A"), PhpCustom(name, b"")):
        with pytest.raises(ValueError, match="no class of PHP"):
            dumps(value)


@pytest.mark.parametrize(
    ("name", "scope"), [("\0*\0b", ""), ("\0b", "*"), ("a\0b", "A"), ("b", "\0")]
)
def test_a_property_is_not_mangled_twice(name: str, scope: str) -> None:
    with pytest.raises(ValueError, match="its plain name and its scope"):
        dumps(PhpObject("A", {PropertyName(name, scope): 1}))


def test_a_text_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        dumps("\ud83d")


# -- made-up values --------------------------------------------------------------------------------

CLASSES = st.sampled_from(["stdClass", r"App\Jobs\X", "App\\\u00c9t\u00e9"])
SUITS = st.sampled_from([PhpEnum("Suit", "Hearts"), PhpEnum("Suit", "Spades")])
TEXTS = st.text(max_size=8) | st.sampled_from(['"', '";', "a:1:{", "\0", "5"])
NOT_UTF8 = st.binary(max_size=6).map(lambda raw: raw + b"\xff")
FLOATING = st.floats() | st.builds(
    lambda digits, exponent: float(f"{digits}e{exponent}"),
    st.integers(-(10**17), 10**17),
    st.integers(-25, 5),
)
SCALARS: st.SearchStrategy[Value] = (
    st.none() | st.booleans() | st.integers(INT_MIN, INT_MAX) | FLOATING | TEXTS | NOT_UTF8 | SUITS
)
KEYS = (st.integers(INT_MIN, INT_MAX) | st.integers(-2, 3) | TEXTS).map(
    lambda key: array_key(key.encode()) if isinstance(key, str) else key
)
NAMES = st.builds(
    PropertyName,
    st.text("abc_\u00e9", min_size=1, max_size=3),
    st.sampled_from(["", PROTECTED, "stdClass", r"App\Parent"]),
)


def containers(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    objects = st.builds(PhpObject, CLASSES, st.dictionaries(NAMES, values, max_size=4))
    shared: st.SearchStrategy[Value] = st.builds(lambda a, b: [a, b, a], objects, values)
    maps: st.SearchStrategy[Value] = st.dictionaries(KEYS, values, max_size=4).map(as_php)
    return st.lists(values, max_size=4) | maps | objects | shared


def as_php(entries: dict[Any, Value]) -> Value:
    """What reads back as a list is one."""
    return list(entries.values()) if list(entries) == [*range(len(entries))] else entries


VALUES = st.recursive(SCALARS, containers, max_leaves=12)


PLAIN: dict[type, Callable[[Any], list[str]]] = {
    int: lambda number: ["int", str(number)],
    float: lambda number: [
        "float",
        "nan" if math.isnan(number) else struct.pack(">d", number).hex(),
    ],
    str: lambda text: ["text", text.encode("utf-8", "surrogateescape").hex()],
    bytes: lambda raw: ["text", raw.hex()],
    PhpEnum: lambda one: ["enum", one.class_name, one.case],
    PhpCustom: lambda one: ["custom", one.class_name, one.data.hex()],
}


def described(value: Value, seen: dict[int, int] | None = None) -> Any:
    """A value as JSON: every type told apart, floats bit by bit, objects by their first place."""
    seen = {} if seen is None else seen
    if value is None or isinstance(value, bool):
        return value
    if type(value) in PLAIN:
        return PLAIN[type(value)](value)
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        return ["array", [[described(key), described(one, seen)] for key, one in value.items()]]
    assert isinstance(value, PhpObject)
    if id(value) in seen:
        return ["again", seen[id(value)]]
    seen[id(value)] = len(seen)
    members: dict[Key, Value] = {
        f"{name.scope}>{name.name}": one for name, one in value.properties.items()
    }
    return ["object", value.class_name, described(members, seen)]


@settings(deadline=None)
@given(VALUES)
def test_what_is_written_reads_back_the_same(value: Value) -> None:
    assert described(loads(dumps(value))) == described(value)


DESCRIBE = r"""
enum Suit: string { case Hearts = 'h'; case Spades = 's'; }
function described($value, &$seen) {
    if ($value === null || is_bool($value)) return $value;
    if (is_int($value)) return ['int', (string) $value];
    if (is_float($value)) return ['float', is_nan($value) ? 'nan' : bin2hex(pack('E', $value))];
    if (is_string($value)) return ['text', bin2hex($value)];
    if ($value instanceof UnitEnum) return ['enum', $value::class, $value->name];
    if (is_object($value)) {
        if (isset($seen[spl_object_id($value)])) return ['again', $seen[spl_object_id($value)]];
        $seen[spl_object_id($value)] = count($seen);
        $members = []; $class = $value::class;
        foreach ((array) $value as $name => $member) {
            if ($name === '__PHP_Incomplete_Class_Name') { $class = $member; continue; }
            $parts = explode("\0", (string) $name);
            $members[count($parts) > 1 ? "$parts[1]>$parts[2]" : ">$name"] = $member;
        }
        return ['object', $class, described($members, $seen)];
    }
    $rows = [];
    foreach ($value as $key => $one) $rows[] = [described($key, $seen), described($one, $seen)];
    return ['array', $rows];
}
while (($line = fgets(STDIN)) !== false) {
    $value = unserialize(base64_decode($line));
    $seen = [];
    echo base64_encode(serialize($value)), ' ', json_encode(described($value, $seen)), "\n";
}
"""


@pytest.mark.database
def test_real_php_reads_the_same_values_and_writes_the_same_bytes(
    php: Callable[..., list[str]],
) -> None:
    made_up: list[Value] = [value for value, _ in FLOATS]
    made_up += [value for _, value in VECTORS if value != DATE]
    made_up = [value for value in made_up if not isinstance(value, PhpCustom)]
    made_up.remove(PhpEnum("U", "A"))

    @settings(max_examples=400, deadline=None, derandomize=True, database=None)
    @given(VALUES)
    def collect(value: Value) -> None:
        made_up.append(value)

    collect()
    texts = [dumps(value) for value in made_up]
    answers = php(DESCRIBE, [base64.b64encode(text).decode() for text in texts])
    assert len(answers) == len(made_up)
    for value, text, answer in zip(made_up, texts, answers, strict=True):
        written, seen = answer.split(" ", 1)
        assert base64.b64decode(written) == text
        assert json.loads(seen) == described(value)


WRITTEN_BY_PHP = r"""
class Par { private $p = 'pp'; } class Chi extends Par { private $p = 'cp'; public $q; }
class Old { public $v = 1; public ?Old $next = null; }
$one = new Old; $two = new Old; $one->next = $two; $two->next = $one;
$number = 5; $list = [1, 2]; $std = (object) ['5' => 1, "a\0b" => 2, '' => 3];
foreach ([
    new Chi, $one, [$one, $two, $one], [&$number, &$number, [&$number]],
    [&$std, &$std, $std], ['x' => &$list, 'y' => &$list, 'z' => $std, 'w' => $std],
    new ArrayObject([1, $std]), new SplObjectStorage, [$std, new ArrayObject([$std])],
    ['-0' => 1, '9223372036854775807' => 1, '9223372036854775808' => 1, "\xff" => "\xfe"],
] as $value) {
    echo base64_encode(serialize($value)), "\n";
}
"""


@pytest.mark.database
def test_what_real_php_writes_reads_and_is_written_the_same(
    php: Callable[..., list[str]],
) -> None:
    texts = [base64.b64decode(line) for line in php(WRITTEN_BY_PHP)]
    assert len(texts) == 10
    for text in texts:
        again = dumps(loads(text))
        # PHP's references have no counterpart here: what they refer to is written out.
        assert again == text or b"R:" in text
        assert described(loads(again)) == described(loads(text))


FILL = r"""
require 'bootstrap/autoload.php';
class Job {
    use Illuminate\Queue\SerializesModels;
    public $open = 'default'; protected $guarded = 'default'; private $own = 'default';
    public int $left_out = 5;
    public function all() { return [$this->open, $this->guarded, $this->own, $this->left_out]; }
}
while (($line = fgets(STDIN)) !== false) {
    echo json_encode(unserialize(base64_decode($line))->all()), "\n";
}
"""


@pytest.mark.database
def test_real_laravel_fills_only_properties_with_their_scope(
    php: Callable[..., list[str]],
) -> None:
    named: dict[PropertyName, Value] = {
        PropertyName("open"): "a",
        PropertyName("guarded", PROTECTED): "b",
        PropertyName("own", "Job"): "c",
    }
    jobs = [PhpObject("Job", named), PhpObject("Job", public(open="a", guarded="b", own="c"))]
    answers = php(FILL, [base64.b64encode(dumps(job)).decode() for job in jobs])
    assert [json.loads(line) for line in answers] == [
        ["a", "b", "c", 5],
        ["a", "default", "default", 5],
    ]
