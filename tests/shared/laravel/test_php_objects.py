"""Dates and references to models, recorded and as real PHP and Laravel write them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from shared.laravel.php import PROTECTED, PhpObject, PropertyName, Value, loads
from shared.laravel.php_objects import (
    _ABBREVIATIONS,
    ModelReference,
    UnreadableObject,
    datetime_of,
    is_datetime,
    is_model_reference,
    model_reference_of,
)


def date(text: Value, kind: Value, zone: Value, class_name: str = "DateTime") -> PhpObject:
    members = {"date": text, "timezone_type": kind, "timezone": zone}
    return PhpObject(class_name, {PropertyName(name): value for name, value in members.items()})


# -- dates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "class_name", ["DateTimeImmutable", r"Illuminate\Support\Carbon", r"App\Day"]
)
def test_a_date_of_any_class_is_a_moment_in_utc(class_name: str) -> None:
    found = datetime_of(date("2024-01-02 03:04:05.678901", 3, "Europe/Paris", class_name))
    assert found == datetime(2024, 1, 2, 2, 4, 5, 678901, UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("kind", "zone", "hour", "minute"),
    [
        (1, "+05:30", 4, 30),
        (1, "-00:15", 10, 15),
        (1, "+00:00", 10, 0),
        (2, "Z", 10, 0),
        (2, "CEST", 8, 0),
        (2, "est", 15, 0),
        (3, "UTC", 10, 0),
        (3, "America/New_York", 15, 0),
    ],
)
def test_a_date_has_one_of_three_kinds_of_time_zone(
    kind: int, zone: str, hour: int, minute: int
) -> None:
    found = datetime_of(date("2024-01-02 10:00:00.000000", kind, zone))
    assert found == datetime(2024, 1, 2, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, "2024-01-02", ["2024-01-02"], PhpObject("DateTime")])
def test_what_is_no_date_object_is_refused(value: Value) -> None:
    assert not is_datetime(value)
    with pytest.raises(UnreadableObject, match="no date object"):
        datetime_of(value)


@pytest.mark.parametrize(
    ("kind", "zone"),
    [(3, "Mars/Olympus"), (3, "Europe"), (3, "../UTC"), (3, ""), (2, "IST"), (1, "+2"), (7, "KST")],
)
def test_an_unknown_time_zone_says_what_to_do(kind: int, zone: str) -> None:
    with pytest.raises(UnreadableObject, match="send it in UTC") as caught:
        datetime_of(date("2024-01-02 10:00:00.000000", kind, zone))
    assert ascii(zone) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "-0044-03-15 10:00:00.000000", "0001-01-01 00:00:00"]
)
def test_a_date_that_python_has_not_is_refused(text: str) -> None:
    with pytest.raises(UnreadableObject, match="between the years 1 and 9999"):
        datetime_of(date(text, 1, "+05:00"))


@pytest.mark.parametrize(("text", "zone"), [(None, "UTC"), ("2024-01-02", None), (b"\xff", "UTC")])
def test_a_date_of_other_types_is_refused(text: Value, zone: Value) -> None:
    with pytest.raises(UnreadableObject, match="is no text"):
        datetime_of(date(text, 3, zone))


TELL_DATES = r"""
require 'bootstrap/autoload.php';
while (($line = fgets(STDIN)) !== false) {
    [$text, $zone] = explode('|', trim($line));
    $classes = [DateTime::class, DateTimeImmutable::class, Illuminate\Support\Carbon::class];
    foreach ($classes as $class) {
        $date = $zone === '' ? new $class($text) : new $class($text, new DateTimeZone($zone));
        $text_form = serialize($date);
        $as_laravel_reads_it = unserialize($text_form)->format('U.u');
        echo $as_laravel_reads_it, ' ', base64_encode($text_form), "\n";
    }
}
"""
DATES = [
    "2024-01-02 03:04:05.678901|Europe/Paris",
    "2024-07-02 03:04:05.678901|America/St_Johns",
    "1969-07-20 20:17:40.000001|UTC",
    "1969-07-20 20:17:40.999999|+05:30",
    "1938-04-24 22:13:20|-00:44:30",
    "2024-03-15T10:00:00Z|",
    "@1700000000.5|",
    "0100-01-01 00:00:00|UTC",
    "9999-12-31 23:59:59|UTC",
    *(f"2024-07-02 03:04:05 {name}|" for name in _ABBREVIATIONS),
    # The hour that comes twice, east, at and west of Greenwich.
    *("2024-10-27 02:30:00|Europe/Paris", "2024-10-27 01:30:00|Europe/London"),
    *("2024-04-07 02:30:00|Australia/Sydney", "2024-11-03 01:30:00|America/New_York"),
]


@pytest.mark.database
def test_a_date_is_the_moment_that_real_php_reads(php: Callable[..., list[str]]) -> None:
    answers = php(TELL_DATES, DATES)
    assert len(answers) == len(DATES) * 3
    for answer in answers:
        moment, text = answer.split(" ")
        seconds, micros = moment.split(".")
        found = datetime_of(loads(base64.b64decode(text)))
        # PHP cuts towards minus infinity and counts micros up from there.
        whole = datetime.fromtimestamp(int(seconds), UTC)
        assert (found.replace(microsecond=0), found.microsecond) == (whole, int(micros))


# -- models ----------------------------------------------------------------------------------------

IDENTIFIER = r"Illuminate\Contracts\Database\ModelIdentifier"


def identifier(**members: Value) -> PhpObject:
    """`class_` is the member `class`."""
    named = {PropertyName(name.rstrip("_")): value for name, value in members.items()}
    return PhpObject(IDENTIFIER, named)


def test_one_model_is_its_class_and_key() -> None:
    user = identifier(class_=r"App\Models\User", id=7, relations=["posts"], connection="mysql")
    found = model_reference_of(user)
    assert found == ModelReference(r"App\Models\User", 7, ("posts",), "mysql", None)
    assert found.ids == (7,)


def test_a_collection_of_models_has_many_keys() -> None:
    ids: Value = ["a", "b"]
    users = identifier(
        class_="user", id=ids, relations=[], connection=None, collectionClass=r"App\Users"
    )
    found = model_reference_of(users)
    assert found == ModelReference("user", ("a", "b"), (), None, r"App\Users")
    assert found.ids == ("a", "b")


def test_an_empty_collection_names_no_class() -> None:
    found = model_reference_of(identifier(class_=None, id=[], relations=[], connection=None))
    assert (found.class_name, found.ids) == (None, ())


@pytest.mark.parametrize("value", [None, 7, [7], PhpObject("stdClass")])
def test_what_is_no_model_is_refused(value: Value) -> None:
    assert not is_model_reference(value)
    with pytest.raises(UnreadableObject, match="no reference to a model"):
        model_reference_of(value)


@pytest.mark.parametrize(
    ("broken", "detail"),
    [
        ({"id": 1.5}, "`id` is neither"),
        ({"id": True}, "`id` is neither"),
        ({"id": [1, [2]]}, "`id` is neither"),
        ({"relations": None}, "`relations` is no list"),
        ({"class_": 3}, "`class` is no text"),
        ({"connection": b"\xff"}, "`connection` is no text"),
    ],
)
def test_a_model_that_is_not_of_its_form_is_refused(broken: dict[str, Value], detail: str) -> None:
    good: dict[str, Value] = {"class_": "user", "id": 1, "relations": [], "connection": None}
    with pytest.raises(UnreadableObject, match=detail):
        model_reference_of(identifier(**(good | broken)))


def test_a_models_class_name_is_compared_as_in_php() -> None:
    assert is_model_reference(PhpObject(IDENTIFIER.lower()))
    assert not is_model_reference(PhpObject(r"App\ModelIdentifier"))


def test_a_members_visibility_does_not_matter() -> None:
    hidden: dict[str, Value] = {
        "date": "2024-01-02 10:00:00",
        "timezone_type": 3,
        "timezone": "UTC",
    }
    value = PhpObject("A", {PropertyName(name, PROTECTED): one for name, one in hidden.items()})
    assert datetime_of(value) == datetime(2024, 1, 2, 10, tzinfo=UTC)


TELL_MODELS = r"""
require 'bootstrap/autoload.php';
class Person extends Illuminate\Database\Eloquent\Model {
    protected $guarded = [];
    public function friend() { return $this->hasOne(self::class); }
}
class People extends Illuminate\Database\Eloquent\Collection {}
class Job {
    use Illuminate\Queue\SerializesModels;
    public function __construct(public $one, public $many, public $mine, public $none) {}
}
$one = (new Person)->forceFill(['id' => 7])->setConnection('mysql');
$two = (new Person)->forceFill(['id' => 8])->setConnection('mysql');
$one->setRelation('friend', $two);
echo base64_encode(serialize(new Job(
    $one, new Illuminate\Database\Eloquent\Collection([$two, $two]), new People([$two]), new People
)));
"""


@pytest.mark.database
def test_models_arrive_as_real_laravel_sends_them(php: Callable[..., list[str]]) -> None:
    (line,) = php(TELL_MODELS)
    job = loads(base64.b64decode(line))
    assert isinstance(job, PhpObject)
    found = {name: model_reference_of(job.get(name)) for name in ("one", "many", "mine", "none")}
    assert found == {
        "one": ModelReference("Person", 7, ("friend",), "mysql"),
        "many": ModelReference("Person", (8, 8), (), "mysql"),
        "mine": ModelReference("Person", (8,), (), "mysql", "People"),
        "none": ModelReference(None, (), (), None, "People"),
    }
