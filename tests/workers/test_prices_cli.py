"""`fleet prices`: a file of prices is recorded whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime_world import World
from tests.workers.conftest import Fleet
from workers.price_files import ERRORS_SHOWN, PriceFileError, read_prices

HEADER = "venue,product,instrument,kind,at,price"
LINE = "binance,linear,BTCUSDT,mark,2026-07-01T08:00:00Z,64123.10"
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of these lines; its path."""

    def written(*lines: str, encoding: str = "utf-8") -> str:
        path = tmp_path / "prices.csv"
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return str(path)

    return written


def stored(world: World) -> list[tuple[object, ...]]:
    columns = "instrument, kind, CAST(at AS CHAR), CAST(price AS CHAR), base_asset, source"
    return world.rows(f"SELECT {columns} FROM fleet_prices ORDER BY instrument, kind, at")  # noqa: S608


@pytest.mark.database
def test_a_file_is_recorded_with_its_zone_and_digits(
    world: World, fleet: Fleet, write: Write
) -> None:
    path = write(
        f"{HEADER},base_asset,quote_asset",
        "binance,spot,BNBUSDT,last,2026-07-01T10:00:00.5+02:00,600.000000000000000001,BNB,USDT",
        "binance,linear,BTCUSDT,mark,2026-07-01T08:00:00Z,64123.10,,",
    )
    assert fleet("prices", "import", path).output == "2 prices recorded\n"
    assert fleet("prices", "import", path).exit_code == 0
    assert stored(world) == [
        ("BNBUSDT", "last", "2026-07-01 08:00:00.500000", "600.000000000000000001", "BNB",
         "import"),
        ("BTCUSDT", "mark", "2026-07-01 08:00:00.000000", "64123.100000000000000000", None,
         "import"),
    ]  # fmt: skip


@pytest.mark.database
def test_a_file_with_an_error_records_nothing_and_names_its_line(
    world: World, fleet: Fleet, write: Write
) -> None:
    found = fleet("prices", "import", write(HEADER, LINE, LINE.replace("64123.10", "6e4")))
    assert isinstance(found.exception, PriceFileError)
    assert str(found.exception).splitlines() == [
        "nothing was imported",
        "line 3: price must be a plain decimal above zero, not '6e4'",
    ]
    assert stored(world) == []


@pytest.mark.database
def test_a_file_in_another_encoding_is_refused(fleet: Fleet, write: Write) -> None:
    found = fleet("prices", "import", write(HEADER, LINE + "é", encoding="latin-1"))
    assert isinstance(found.exception, PriceFileError)


@pytest.mark.database
def test_the_newest_price_of_each_kind_is_listed(fleet: Fleet, write: Write) -> None:
    later = LINE.replace("08:00", "09:00").replace("64123.10", "65000")
    fleet("prices", "import", write(HEADER, LINE, later, later.replace("mark", "index")))
    shown = fleet("prices", "list", "--instrument", "BTCUSDT").output
    assert shown.count("65000") == 2
    assert "64123" not in shown
    assert "65000" not in fleet("prices", "list", "--instrument", "ETHUSDT").output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("binance,linear,BTCUSDT,mark,2026-07-01T08:00:00Z", "5 fields where the header has 6"),
        (LINE.replace("binance", ""), "venue must be"),
        (LINE.replace("BTCUSDT", " BTCUSDT"), "instrument must be"),
        (LINE.replace("BTCUSDT", "B" * 65), "instrument must be"),
        (LINE.replace("linear", "option"), "product must be one of linear, inverse, spot"),
        (LINE.replace("mark", "bid"), "kind must be one of mark, index, last"),
        (LINE.replace("08:00:00Z", "08:00:00"), "at must be like"),
        (LINE.replace("2026-07-01T08:00:00Z", "1751356800000"), "at must be like"),
        (LINE.replace("64123.10", "0"), "price must be a plain decimal above zero"),
        (LINE.replace("64123.10", "-1"), "price must be a plain decimal above zero"),
        (LINE.replace("64123.10", "1.0000000000000000001"), "price must be a plain decimal"),
        (LINE.replace("64123.10", '"64,123.10"'), "price must be a plain decimal above zero"),
        (LINE.replace("64123.10", "1"), "another price of the same moment stands in line 2"),
        ('"unended', "unexpected end of data"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, said: str) -> None:
    with pytest.raises(PriceFileError, match=f"line 3: .*{said}"):
        read_prices([HEADER, LINE, line])


def test_an_asset_without_the_other_is_refused() -> None:
    with pytest.raises(PriceFileError, match="base_asset and quote_asset belong together"):
        read_prices([f"{HEADER},base_asset,quote_asset", f"{LINE},BTC,"])


@pytest.mark.parametrize("header", ["", "price,at", f"{HEADER},base_asset"])
def test_another_header_is_refused(header: str) -> None:
    with pytest.raises(PriceFileError, match="line 1: the header must be"):
        read_prices([header, LINE])


def test_a_file_full_of_errors_shows_the_first_ones() -> None:
    with pytest.raises(PriceFileError) as raised:
        read_prices([HEADER, *["nonsense"] * 1000])
    assert len(str(raised.value).splitlines()) == ERRORS_SHOWN + 1


def test_a_line_twice_is_one_price() -> None:
    assert len(read_prices([HEADER, LINE, LINE])) == 1
