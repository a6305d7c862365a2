"""Properties of a job to the model of a handler."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.laravel.arguments import CommandError, arguments_of
from shared.laravel.php import PhpCustom, PhpEnum, PhpObject, PropertyName, Value
from shared.laravel.php_objects import ModelReference

DATE = PhpObject(
    r"Illuminate\Support\Carbon",
    {
        PropertyName("date"): "2024-01-02 03:04:05.000000",
        PropertyName("timezone_type"): 3,
        PropertyName("timezone"): "Europe/Paris",
    },
)
USER = PhpObject(
    r"Illuminate\Contracts\Database\ModelIdentifier",
    {
        PropertyName("class"): r"App\Models\User",
        PropertyName("id"): 7,
        PropertyName("relations"): [],
        PropertyName("connection"): "mysql",
    },
)


class Sync(BaseModel):
    account_id: int
    from_day: datetime | None = None
    label: str = "none"


class Strict(BaseModel):
    """As the fleet's own models are."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)

    account_id: int
    timeout: int = 60


def refused(model: type[BaseModel], **properties: Value) -> str:
    with pytest.raises(CommandError) as caught:
        arguments_of(properties, model)
    return str(caught.value)


def test_a_property_in_camel_case_fills_a_field_in_snake_case() -> None:
    assert arguments_of({"accountId": 7, "fromDay": DATE}, Sync) == Sync(
        account_id=7, from_day=datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)
    )


def test_a_property_in_snake_case_or_by_alias_fills_it_too() -> None:
    class Listener(BaseModel):
        account_id: int
        class_: str = Field(alias="class")
        user_id: int = Field(validation_alias="userID")

    found = arguments_of({"account_id": 7, "class": "A", "userID": 8}, Listener)
    assert (found.account_id, found.class_, found.user_id) == (7, "A", 8)


def test_a_model_with_generated_aliases_is_filled() -> None:
    assert arguments_of({"accountId": 7}, Strict).account_id == 7
    assert arguments_of({"account_id": 7}, Strict).account_id == 7


def test_what_traits_put_on_a_job_is_no_argument() -> None:
    traits: dict[str, Value] = {"queue": "fleet", "delay": 5, "middleware": [PhpObject("A")]}
    assert arguments_of({"accountId": 7, **traits, "batchId": "b"}, Strict).account_id == 7

    class Wants(BaseModel):
        queue: str = "default of the field"

    assert arguments_of(traits, Wants).queue == "default of the field"


def test_what_a_class_declares_for_laravel_is_an_argument_only_if_a_field_wants_it() -> None:
    found = arguments_of({"accountId": 7, "tries": 3, "uniqueFor": 60, "timeout": 5}, Strict)
    assert found.timeout == 5


def test_dates_enums_and_models_arrive_at_any_depth() -> None:
    class Deep(BaseModel):
        rows: list[dict[str, Any]]
        user: ModelReference
        status: str

    row: dict[Any, Value] = {"at": DATE, "who": [USER]}
    found = arguments_of({"rows": [row], "user": USER, "status": PhpEnum("S", "Open")}, Deep)
    moment = datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)
    user = ModelReference(r"App\Models\User", 7, (), "mysql")
    assert found == Deep(rows=[{"at": moment, "who": [user]}], user=user, status="Open")
    assert found.rows[0]["at"].tzinfo is UTC


def test_an_empty_array_is_a_list_or_a_map_as_the_field_wants() -> None:
    class Part(BaseModel):
        size: int = 1

    class Both(BaseModel):
        rows: list[int]
        options: dict[str, int]
        more: dict[str, int] | None
        part: Part

    empty: dict[str, Value] = {"rows": [], "options": [], "more": [], "part": []}
    assert arguments_of(empty, Both) == Both(rows=[], options={}, more={}, part=Part())
    assert "rows" in refused(Both, **(empty | {"rows": "x"}))
    assert "options" in refused(Both, **(empty | {"options": [1]}))


def test_a_missing_property_says_what_laravel_does_with_defaults() -> None:
    assert refused(Sync) == (
        "Sync: `account_id` has no value here because Laravel leaves out properties that still "
        "have their default: give the pydantic field the same default"
    )
    assert "`accountId` has no value here" in refused(Strict)


def test_an_unknown_property_is_the_models_to_refuse() -> None:
    assert arguments_of({"accountId": 7, "extra": PhpObject("A")}, Sync).account_id == 7
    assert "`extra` is a property of the PHP class" in refused(Strict, accountId=7, extra=1)

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")

    assert arguments_of({"at": DATE, "tries": 3}, Open).model_dump() == {
        "at": datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)
    }


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (PhpObject(r"App\Data\Money"), "label"),
        ([1, {"x": PhpObject(r"App\Data\Money")}], "label.1.x"),
        (PhpCustom(r"App\Data\Money", b""), "label"),
    ],
)
def test_an_object_inside_is_refused_with_its_place_and_class(value: Value, path: str) -> None:
    said = refused(Sync, accountId=7, label=value)
    assert said.startswith(rf"`{path}` is an object of class App\\Data\\Money")
    assert "send its values instead" in said


def test_a_date_that_cannot_be_read_is_refused_with_its_place() -> None:
    broken = PhpObject("DateTime", DATE.properties | {PropertyName("timezone"): "Mars/Olympus"})
    assert refused(Sync, accountId=7, fromDay=broken).startswith("`fromDay` is a date in time zone")
    no_model = PhpObject(USER.class_name, USER.properties | {PropertyName("id"): 1.5})
    assert "`label` is a reference to a model" in refused(Sync, accountId=7, label=no_model)


def test_a_wrong_value_is_named_and_not_shown() -> None:
    said = refused(Sync, accountId="hunter2", label=[1])
    assert "`account_id`: Input should be a valid integer" in said
    assert "`label`: Input should be a valid string" in said
    assert "hunter2" not in said


def test_many_errors_are_cut_to_a_few() -> None:
    class Wide(BaseModel):
        a: int
        b: int
        c: int
        d: int
        e: int
        f: int
        g: int

    said = refused(Wide)
    assert said.count("has no value here") == 5
    assert said.endswith("2 more")


def test_foreign_names_are_shown_in_plain_ascii() -> None:
    class Strange(BaseModel):
        model_config = ConfigDict(extra="forbid")

    said = refused(Strange, **{"caf\u00e9\n\udcff": 1})
    assert said.isascii()
    assert said.isprintable()
