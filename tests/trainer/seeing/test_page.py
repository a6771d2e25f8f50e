"""The page in a real browser: its arithmetic, its controls, and what hostile names may not do."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Locator, Page
from torch import nn

from tests.browser import NARROW, WIDE, OpenPage, Theme, opened
from tests.trainer.seeing.networks import colour_network, corners
from tests.trainer.seeing.test_convolution import torchs_map
from trainer.model import Network, build_network
from trainer.seeing.page import Origin, render_fragment, render_page
from trainer.seeing.sight import NamedImage, Sight, look

LABELS = ("cat", "dog", "cow")
ORIGIN = Origin("resnet18", "a", 3, calibrated=True)


@pytest.fixture(scope="module")
def network() -> Network:
    """With biases, of which resnets have none."""
    torch.manual_seed(0)
    network = build_network("resnet18", len(LABELS), 64)
    layer = network.backbone.layer1[0].conv1
    layer.bias = nn.Parameter(torch.linspace(-1, 1, 64))
    return network


@pytest.fixture(scope="module")
def image() -> NamedImage:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    pixels[16:48, 16:48] = (200, 60, 20)
    return NamedImage("barn.png", pixels)


@pytest.fixture(scope="module")
def sight(network: Network, image: NamedImage) -> Sight:
    return look(network, LABELS, [image])


@pytest.fixture(scope="module")
def file(sight: Sight, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("look") / "barn.png.html"
    path.write_text(render_page(sight, ORIGIN), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def open_page(browser: Browser, file: Path) -> Iterator[OpenPage]:
    with opened(browser, file) as found:
        yield found


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
    page: Page, network: Network, image: NamedImage, sight: Sight, place: int
) -> None:
    worked = sight.convolutions[place][1]
    assert worked is not None
    expected = torchs_map(network, image.pixels, worked).flatten().tolist()
    figure = _figure(page, place)
    step = figure.get_by_role("button", name="Step")
    for position, value in enumerate(expected):
        assert _made(figure) == pytest.approx(expected[: position + 1], abs=1e-4)
        assert _number(figure.locator("[data-total]").first.inner_text()) == pytest.approx(value, abs=6e-3)
        assert "the same" in figure.locator("[data-agrees]").inner_text()
        step.click()
    assert len(_made(figure)) == len(expected)  # a step beyond the last stays there


def test_sums_shown_add_up_to_the_pixel(page: Page) -> None:
    figure = _figure(page)
    figure.get_by_role("slider").press("End")
    parts = [_number(text) for text in figure.locator(".part > span:last-child").all_inner_texts()]
    *added, total = parts
    assert len(added) == 3 + 1 + 1  # channels, the others, the bias
    assert sum(added) == pytest.approx(total, abs=0.005 * len(parts))


def test_products_shown_are_the_numbers_under_the_kernel_times_its_weights(page: Page, sight: Sight) -> None:
    worked = sight.convolutions[0][1]
    assert worked is not None
    figure = _figure(page)
    figure.get_by_role("slider").press("ArrowRight")
    cells = figure.locator("[data-products]").first.locator("td")
    shown = [_number(text) for text in cells.all_inner_texts()]
    channel = worked.channels[0]
    under = [row[1:4] for row in channel.values[:3]]
    products = [v * w for v, w in zip(chain(*under), chain(*channel.weights), strict=True)]
    assert shown == pytest.approx(products, abs=6e-3)


def test_keys_walk_over_rows_and_columns(page: Page) -> None:
    figure = _figure(page)
    place = figure.locator(".place")
    for key, found in (
        ("ArrowRight", "row 1 of 5, column 2 of 5"),
        ("ArrowDown", "row 2 of 5, column 2 of 5"),
        ("ArrowLeft", "row 2 of 5, column 1 of 5"),
        ("ArrowUp", "row 1 of 5, column 1 of 5"),
        ("ArrowUp", "row 1 of 5, column 1 of 5"),
        ("End", "row 5 of 5, column 5 of 5"),
        ("Home", "row 1 of 5, column 1 of 5"),
    ):
        figure.get_by_role("slider").press(key)
        assert place.inner_text() == found
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


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_page_is_sound_in_both_themes_and_widths(
    browser: Browser, file: Path, theme: Theme, width: int
) -> None:
    with opened(browser, file, theme=theme, width=width) as found:
        assert found.violations() == []
        assert not found.scrolls_sideways()
        assert found.broken_images() == []
        assert found.complaints == []


def test_page_without_scripts_shows_the_first_position(browser: Browser, file: Path, sight: Sight) -> None:
    worked = sight.convolutions[0][1]
    assert worked is not None
    with opened(browser, file, scripts=False) as found:
        figure = _figure(found.page)
        assert not figure.locator(".stepper").is_visible()
        assert "With scripts allowed" in figure.inner_text()
        shown = [_number(text) for text in figure.locator("[data-made] td").all_inner_texts()]
        assert shown == pytest.approx(list(chain(*worked.expected)), abs=6e-3)
        assert len(figure.locator("[data-products] td").all_inner_texts()) == 3 * 9


def test_printed_page_has_no_controls(page: Page) -> None:
    page.emulate_media(media="print")
    assert not _figure(page).locator(".stepper").is_visible()
    assert _figure(page).locator("[data-made]").is_visible()
    page.emulate_media(media="screen")


def test_page_says_what_an_architecture_does_not_have(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    found = look(build_network("convnext_tiny", 3, 32), LABELS, [NamedImage("a.png", corners())])
    file.write_text(render_page(found, ORIGIN), encoding="utf-8")
    with opened(browser, file) as opened_page:
        assert "no 3\u00a0×\u00a03 convolution" in opened_page.page.inner_text("main")
        assert "no 1\u00a0×\u00a01 convolution" in opened_page.page.inner_text("main")
        assert opened_page.complaints == []


HOSTILE = (
    "</script><script>document.title = 1</script>",
    '"><img src=x onerror="document.title = 1">',
)


def test_hostile_names_are_text(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    name = f"{HOSTILE[1]}{{{{ 7 * 7 }}}}.png"
    image = NamedImage(name, corners(), truth=HOSTILE[0])
    file.write_text(render_page(look(colour_network(), HOSTILE, [image]), ORIGIN), encoding="utf-8")
    with opened(browser, file) as found:
        assert found.page.title() == f"{name}: what the network sees"
        assert found.page.inner_text("h1") == name
        assert set(found.page.locator(".answers tbody th").all_inner_texts()) == set(HOSTILE)
        assert found.complaints == []


def test_policy_lets_no_other_script_run(browser: Browser, file: Path, tmp_path: Path) -> None:
    slipped, another = tmp_path / "page.html", "<script>document.title = 'taken'</script>"
    slipped.write_text(file.read_text().replace("</main>", f"{another}</main>"))
    with opened(browser, slipped) as found:
        assert found.page.title() == "barn.png: what the network sees"
        assert found.page.locator(".stepper").first.is_visible()  # its own does


def test_page_and_fragment_are_small(file: Path, network: Network, image: NamedImage) -> None:
    assert file.stat().st_size < 400_000
    assert len(render_fragment(network, LABELS, [image, image]).html) < 500_000


OTHER_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>report</title>
<style>{part.style}</style></head>
<body><main><h1>report</h1><section><h2>What the network sees</h2>{part.html}</section></main>
<script>{part.script}</script></body>
</html>"""


def test_fragment_is_a_sound_part_of_another_page(
    browser: Browser, network: Network, image: NamedImage, tmp_path: Path
) -> None:
    hostile = NamedImage(HOSTILE[1], image.pixels, truth=HOSTILE[0])
    part = render_fragment(network, LABELS, [hostile, image])
    file = tmp_path / "page.html"
    file.write_text(OTHER_PAGE.format(part=part), encoding="utf-8")
    with opened(browser, file, width=NARROW) as found:
        _figure(found.page).get_by_role("button", name="Step").click()
        assert _figure(found.page).locator(".place").inner_text() == "row 1 of 5, column 2 of 5"
        assert f"in truth {HOSTILE[0]}" in found.page.inner_text("main")
        assert found.page.title() == "report"
        assert found.violations() == []
        assert not found.scrolls_sideways()
        assert found.complaints == []
