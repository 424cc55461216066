"""The pages in a real browser, opened as files, without a network."""

import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from edgekd.report.publish import write_comparison, write_page
from edgekd.report.runs import load_runs
from edgekd.report.schema import Report

pytestmark = pytest.mark.browser

ENOUGH = 4.5  # WCAG 2.2 AA, between text and what is behind it
DESKTOP, PHONE = (1280, 900), (390, 844)

CONTRASTS = """() => {
  const rgba = text => [...text.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3]));
  const back = element => {
    if (!element) return [255, 255, 255];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, back(element.parentElement));
  };
  const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => c.slice(0, 3).map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const shown = element.getClientRects().length && walk.currentNode.data.trim();
    if (!shown || element.localName === "title") continue;
    const style = getComputedStyle(element);
    const ground = back(element);
    const text = over(rgba(element.closest("svg") ? style.fill : style.color), ground);
    const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), walk.currentNode.data.trim().slice(0, 40)]);
  }
  return found;
}"""

MARK_SIZES = """plot => [...plot.querySelectorAll("circle, polyline")].map(mark => {
  const box = mark.getBoundingClientRect();
  return Math.max(box.width, box.height);
})"""

Open = Callable[..., tuple[Page, list[str]]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on the PATH (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(report: Report, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of a run among others, one of them with names that fit nowhere, and their comparison."""
    runs = tmp_path_factory.mktemp("runs")
    long = report.model_copy(update={"pipeline": "a_name_that_goes_on_" * 6, "command": "x" * 300})
    board = report.model_copy(update={"machine": report.machine.model_copy(update={"cpu": "Cortex-A76"})})
    for name, shown in (("own", report), ("long_" * 12, long), ("board", board)):
        (runs / name).mkdir()
        shown.save(runs / name / "report.json")
    write_comparison(load_runs(sorted(path for path in runs.iterdir())), runs / "comparison.html")
    return {
        "own": write_page(runs / "own")[1],
        "long": write_page(runs / ("long_" * 12))[1],
        "comparison": runs / "comparison.html",
    }


@pytest.fixture
def open_page(browser: Browser, pages: dict[str, Path]) -> Iterator[Open]:
    """Return a function that opens a page and returns it with whatever it complained about or asked for."""
    contexts = []

    def open_(name: str, size: tuple[int, int] = DESKTOP, **options: Any) -> tuple[Page, list[str]]:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        said: list[str] = []
        address = pages[name].as_uri()
        page.on("console", lambda message: said.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((address, "data:")) else said.append(asked.url),
        )
        page.goto(address)
        return page, said

    yield open_
    for context in contexts:
        context.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", ["own", "long", "comparison"])
def test_a_page_fits_and_asks_for_nothing(open_page: Open, name: str, size: tuple[int, int]) -> None:
    page, said = open_page(name, size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert said == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_plots_are_drawn_once_each(open_page: Open, size: tuple[int, int]) -> None:
    page, _ = open_page("own", size)
    shown = [plot for plot in page.locator("svg.plot").all() if plot.is_visible()]
    labels = [plot.get_attribute("aria-label") or "" for plot in shown]
    begins = ["top1 against p50", "top1 against size", "Median of the", "loss by", "validation top1 by"]
    assert [label.startswith(begin) for label, begin in zip(labels, begins, strict=True)] == [True] * 5
    for plot in shown:
        box = plot.bounding_box()
        assert box and box["width"] > 250 and box["height"] > 150
        sizes = plot.evaluate(MARK_SIZES)
        assert len(sizes) > 3 and min(sizes) > 1
    bars = page.locator("img.bars").first
    assert bars.evaluate("image => image.naturalWidth") > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["own", "comparison"])
def test_text_stands_out(open_page: Open, name: str, scheme: str) -> None:
    page, _ = open_page(name, color_scheme=scheme)
    found = page.evaluate(CONTRASTS)
    assert len(found) > 50
    assert [item for item in found if item[0] < ENOUGH] == []


def test_dark_and_light_differ(open_page: Open) -> None:
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    light, dark = (open_page("own", color_scheme=scheme)[0].evaluate(colours) for scheme in ("light", "dark"))
    assert light[0] != dark[0]
    assert light[1] != dark[1]


def test_wide_tables_scroll_within_themselves_and_by_keyboard(open_page: Open) -> None:
    page, _ = open_page("own", PHONE)
    layers = page.get_by_role("region", name="Layers")
    layers.focus()
    assert layers.evaluate("part => part === document.activeElement && part.scrollWidth > part.clientWidth")


def test_a_page_can_be_read_without_seeing_it(open_page: Open) -> None:
    page, _ = open_page("own")
    assert page.title() == "digits_int8 · edgekd report"
    assert page.locator("html").get_attribute("lang") == "en"
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.localName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert page.locator("img:not([alt]), svg:not([aria-label]), th:not([scope])").count() == 0
