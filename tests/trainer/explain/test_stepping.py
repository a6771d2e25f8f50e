"""A convolution stepped through in a real browser: its arithmetic and its controls."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from tests.browser import OpenPage, opened
from tests.trainer.explain.test_convolution import torchs_map
from trainer.explain.explanation import Explanation, NamedImage
from trainer.network.model import Network


@pytest.fixture(scope="module")
def open_page(browser: Browser, file: Path) -> Iterator[OpenPage]:
    with opened(browser, file) as tab:
        yield tab


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    open_page.page.reload()
    return open_page.page


def _figure(page: Page, place: int = 0) -> Locator:
    return page.locator("[data-convolution]").nth(place)


def _number(text: str) -> float:
    return float(text.replace("\u2212", "-"))


def _made(figure: Locator) -> list[float]:
    """The pixels that the page has computed so far."""
    script = "cells => cells.map(cell => cell.dataset.value).filter(value => value !== undefined).map(Number)"
    return list(figure.locator("[data-made] td").evaluate_all(script))


@pytest.mark.parametrize("place", [0, 1], ids=["3x3", "1x1"])
def test_every_position_gives_torchs_number(
    page: Page, network: Network, image: NamedImage, explanation: Explanation, place: int
) -> None:
    worked = explanation.convolutions[place][1]
    assert worked is not None
    expected = torchs_map(network, image.pixels, worked).flatten().tolist()
    figure = _figure(page, place)
    step = figure.get_by_role("button", name="Step")
    for position, value in enumerate(expected):
        assert _made(figure) == pytest.approx(expected[: position + 1], abs=1e-4)
        assert _number(figure.locator("[data-total]").first.inner_text()) == pytest.approx(value, abs=6e-3)
        assert "the same" in figure.locator("[data-agrees]").inner_text()
        step.click() if position == 0 else step.press("Enter")  # it waits for no picture to be drawn
    assert len(_made(figure)) == len(expected)  # a step beyond the last stays there


def test_sums_shown_add_up_to_the_pixel(page: Page) -> None:
    figure = _figure(page)
    figure.get_by_role("slider").press("End")
    parts = [_number(text) for text in figure.locator(".part > span:last-child").all_inner_texts()]
    *added, total = parts
    assert len(added) == 3 + 1 + 1  # channels, the others, the bias
    assert sum(added) == pytest.approx(total, abs=0.005 * len(parts))


def test_products_shown_are_the_numbers_under_the_kernel_times_its_weights(
    page: Page, explanation: Explanation
) -> None:
    worked = explanation.convolutions[0][1]
    assert worked is not None
    figure = _figure(page)
    figure.get_by_role("slider").press("ArrowRight")
    cells = figure.locator("[data-products]").first.locator("td")
    numbers = [_number(text) for text in cells.all_inner_texts()]
    channel = worked.channels[0]
    under = [row[1:4] for row in channel.values[:3]]
    products = [v * w for v, w in zip(chain(*under), chain(*channel.weights), strict=True)]
    assert numbers == pytest.approx(products, abs=6e-3)


def test_keys_walk_over_rows_and_columns(page: Page) -> None:
    figure = _figure(page)
    place = figure.locator(".place")
    for key, text in (
        ("ArrowRight", "row 1 of 5, column 2 of 5"),
        ("ArrowDown", "row 2 of 5, column 2 of 5"),
        ("ArrowLeft", "row 2 of 5, column 1 of 5"),
        ("ArrowUp", "row 1 of 5, column 1 of 5"),
        ("ArrowUp", "row 1 of 5, column 1 of 5"),
        ("End", "row 5 of 5, column 5 of 5"),
        ("Home", "row 1 of 5, column 1 of 5"),
    ):
        figure.get_by_role("slider").press(key)
        assert place.inner_text() == text
    assert figure.get_by_role("slider").get_attribute("aria-valuetext") == "row 1 of 5, column 1 of 5"


def test_slider_and_a_click_on_a_pixel_go_there(page: Page) -> None:
    figure = _figure(page)
    figure.get_by_role("slider").fill("7")
    assert figure.locator(".place").inner_text() == "row 2 of 5, column 3 of 5"
    figure.locator("[data-made] td").nth(12).click()
    assert figure.locator(".place").inner_text() == "row 3 of 5, column 3 of 5"


def test_position_is_said_to_who_cannot_see_it(page: Page) -> None:
    figure = _figure(page)
    assert figure.get_by_role("status").inner_text() == ""  # nothing while the page loads
    figure.get_by_role("button", name="Step").press("Enter")
    said = figure.get_by_role("status").inner_text()
    assert said.startswith("At row 1 of 5, column 2 of 5, the sum is ")


def test_convolutions_are_stepped_through_apart(page: Page) -> None:
    _figure(page, 1).get_by_role("button", name="Step").click()
    assert _figure(page, 0).locator(".place").inner_text().startswith("row 1 of 5, column 1")


def test_kernel_slides_by_itself_and_stops(browser: Browser, file: Path) -> None:
    context = browser.new_context(reduced_motion="no-preference", offline=True)
    page = context.new_page()
    page.clock.install()
    page.goto(file.as_uri())
    figure = _figure(page, 1)
    last = int(figure.get_by_role("slider").get_attribute("max") or 0)
    figure.get_by_role("button", name="Play").click()
    page.clock.run_for(1000)
    assert figure.get_by_role("slider").input_value() == "1"
    assert figure.get_by_role("status").inner_text() == ""  # a voice could not keep up
    page.clock.run_for(100_000)
    assert figure.get_by_role("slider").input_value() == str(last)
    assert figure.get_by_role("button", name="Play").get_attribute("aria-pressed") == "false"
    context.close()
