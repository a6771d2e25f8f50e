"""The page in a real browser: whether all can use it, and what hostile names may not do."""

from itertools import chain
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import NARROW, opened
from tests.trainer.explain.networks import LABELS, ORIGIN, colour_network, corners
from trainer.explain.explanation import Explanation, NamedImage, explain
from trainer.explain.page import render_fragment, render_page
from trainer.network.model import Network, build_network


def test_page_is_sound_in_both_themes_and_widths(browser: Browser, file: Path) -> None:
    with opened(browser, file) as tab:
        for look in tab.looks():
            assert tab.violations() == [], look
            assert not tab.scrolls_sideways(), look
            assert tab.broken_images() == [], look
            assert tab.complaints == [], look


def test_page_without_scripts_shows_the_first_position(
    browser: Browser, file: Path, explanation: Explanation
) -> None:
    worked = explanation.convolutions[0][1]
    assert worked is not None
    with opened(browser, file, scripts=False) as tab:
        figure = tab.page.locator("[data-convolution]").first
        assert not figure.locator(".stepper").is_visible()
        assert "With scripts allowed" in figure.inner_text()
        numbers = [
            float(text.replace("\u2212", "-")) for text in figure.locator("[data-made] td").all_inner_texts()
        ]
        assert numbers == pytest.approx(list(chain(*worked.expected)), abs=6e-3)
        assert len(figure.locator("[data-products] td").all_inner_texts()) == 3 * 9


def test_page_tells_how_it_counts_and_what_comes_after_the_convolution(
    file: Path, explanation: Explanation
) -> None:
    worked, page = explanation.convolutions[0][1], file.read_text()
    assert worked is not None
    assert f"This is kernel {worked.kernel} (counted from 0, as torch counts)" in page
    assert "more and more of them, smaller and smaller." in page
    assert "What the network does to them next is not in them: normalisation, and" in page


def test_printed_page_has_no_controls(browser: Browser, file: Path) -> None:
    with opened(browser, file) as tab:
        tab.page.emulate_media(media="print")
        assert not tab.page.locator(".stepper").first.is_visible()
        assert tab.page.locator("[data-made]").first.is_visible()


def test_page_says_what_an_architecture_does_not_have(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    explained = explain(build_network("convnext_tiny", 3, 32), LABELS, [NamedImage("a.png", corners())])
    file.write_text(render_page(explained, ORIGIN), encoding="utf-8")
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
    file.write_text(render_page(explain(colour_network(), HOSTILE, [image]), ORIGIN), encoding="utf-8")
    with opened(browser, file) as tab:
        assert tab.page.title() == f"{name}: what the network sees"
        assert tab.page.inner_text("h1") == name
        assert set(tab.page.locator(".answers tbody th").all_inner_texts()) == set(HOSTILE)
        assert tab.complaints == []


def test_policy_lets_no_other_script_run(browser: Browser, file: Path, tmp_path: Path) -> None:
    slipped, another = tmp_path / "page.html", "<script>document.title = 'taken'</script>"
    slipped.write_text(file.read_text().replace("</main>", f"{another}</main>"))
    with opened(browser, slipped) as tab:
        assert tab.page.title() == "barn.png: what the network sees"
        assert tab.page.locator(".stepper").first.is_visible()  # its own does


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
    with opened(browser, file, width=NARROW) as tab:
        tab.page.locator("[data-convolution]").first.get_by_role("button", name="Step").click()
        assert (
            tab.page.locator("[data-convolution]").first.locator(".place").inner_text()
            == "row 1 of 5, column 2 of 5"
        )
        assert f"in truth {HOSTILE[0]}" in tab.page.inner_text("main")
        assert tab.page.title() == "report"
        assert tab.violations() == []
        assert not tab.scrolls_sideways()
        assert tab.complaints == []
