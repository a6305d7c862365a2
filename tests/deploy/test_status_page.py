"""The status page in real Chromium: in light and dark, at a desk and on a phone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from shared.masking import Mask
from tests.browser import Tab, tab
from tests.desk_tools import ToolFolder, tool_folder
from tests.pictures import TROUBLES, Exported, broken, well
from tests.workers.fleet_env import free_port
from workers.http import HealthServer, Probes, serve
from workers.page.look import LastErrors
from workers.page.site import Site

DESK, PHONE = (1280, 800), (360, 740)
OVERFLOWS = """[...document.querySelectorAll('body *')]
    .filter(one => one.getBoundingClientRect().right > innerWidth + 0.5)
    .map(one => one.tagName + ': ' + one.textContent.slice(0, 40))"""
PLACE = """(() => { const box = document.getElementById('verdict').getBoundingClientRect();
    return [box.left, box.top, box.right, box.bottom].map(Math.round) })()"""
# Of text against its ground, as WCAG counts it; 4.5 is what small text needs.
CONTRAST = """(() => {
    const light = text => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map(one => {
        one /= 255; return one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4 });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b };
    const ground = one => { const is = getComputedStyle(one).backgroundColor;
        return is === 'rgba(0, 0, 0, 0)' && one.parentElement ? ground(one.parentElement) : is };
    const texts = document.querySelectorAll('h1,h2,p,a,code,th,td,dt,dd,.word');
    return Math.min(...[...texts].map(one => {
        const [high, low] = [light(getComputedStyle(one).color), light(ground(one))]
            .sort((a, b) => b - a);
        return (high + 0.05) / (low + 0.05) })) })()"""


@pytest.fixture(scope="module")
def folder() -> Iterator[ToolFolder]:
    with tool_folder() as found:
        yield found


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, HealthServer]]:
    """A fleet that is well, and one that is not."""
    found = {}
    shown = {
        "well": Site(Exported(well()), LastErrors(tuple, Mask())),
        "broken": Site(Exported(broken()), LastErrors(lambda: TROUBLES, Mask())),
    }
    for name, site in shown.items():
        found[name] = serve(free_port(), Probes("metrics", bool, bool), pages=site.answer)
    yield found
    for server in found.values():
        server.stop()


@pytest.mark.any_database
def test_it_can_be_read_at_night_on_a_phone_and_at_a_desk(
    folder: ToolFolder, servers: dict[str, HealthServer]
) -> None:
    asyncio.run(_read(folder, servers))


async def _read(folder: ToolFolder, servers: dict[str, HealthServer]) -> None:
    async with tab(folder) as page:
        for name, server in servers.items():
            for width, height in (DESK, PHONE):
                for dark in (False, True):
                    url = f"http://127.0.0.1:{server.port}/"
                    await page.open(url, width=width, height=height, dark=dark)
                    await _check(page, name, (width, height), dark=dark)


async def _check(page: Tab, name: str, size: tuple[int, int], *, dark: bool) -> None:
    said = await page.evaluate("document.getElementById('verdict').textContent")
    assert ("All is well" in said) == (name == "well")
    assert said in await page.evaluate("document.title")
    widths = "[innerWidth, document.documentElement.scrollWidth]"
    assert await page.evaluate(widths) == [size[0]] * 2
    assert await page.evaluate(OVERFLOWS) == []
    assert await page.evaluate("document.styleSheets.length") == 1  # its policy lets it
    assert await page.evaluate(CONTRAST) >= 4.5
    left, top, right, bottom = await page.evaluate(PLACE)
    assert (0 <= left < right <= size[0], 0 <= top < bottom <= size[1] // 2) == (True, True)
    seen = await page.picture(left, top, min(right - left, 400), bottom - top)
    pixels = Counter(one for row in seen.rows for one in row)
    red, green, blue = pixels.most_common(1)[0][0]  # the ground
    assert (red + green + blue < 150) if dark else (red + green + blue > 650)
    # Green or red letters on the ground: the verdict is really drawn there.
    ink = Counter(map(_hue, pixels.elements()))
    assert ink["green" if name == "well" else "red"] > 100
    assert ink["red" if name == "well" else "green"] == 0


def _hue(pixel: tuple[int, int, int]) -> str:
    red, green, blue = pixel
    if green > red + 60 and green > blue + 20:
        return "green"
    return "red" if red > green + 60 and red > blue + 60 else "grey"
