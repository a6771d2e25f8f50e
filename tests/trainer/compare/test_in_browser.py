"""The page of a comparison in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import opened
from tests.tiny import LABELS, picture
from tests.trainer.compare.made import SWAPPED, publish, settings, write_images
from trainer.compare import command


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven answers are broken, four fixed, two wrong before and after."""
    folder = tmp_path_factory.mktemp("compared")
    images = write_images(folder / "images", count=4)
    for name, colour in (("a", "green"), ("b", "blue")):
        (images / "red" / f"{name}.png").write_bytes(picture(colour, (60, 41)))
    for index in range(4):
        (images / "blue" / f"wrong-{index}.png").write_bytes(picture("green", (70 + index, 40)))
    for file in (images / "green").iterdir():
        file.unlink()
        break
    publish(folder / "tiny", folder / "staged", LABELS, SWAPPED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.evaluate.latency.PATIENCE_S", 0.0)
        command.compare(settings(folder, folder / "tiny" / "2", folder / "tiny" / "1", confidence=0.99))
    return folder / "out" / "compare.html"


@pytest.fixture
def tab(browser: Browser, page_file: Path) -> Iterator[Page]:
    with opened(browser, page_file) as tab:
        yield tab.page
        assert tab.complaints == []


@pytest.mark.slow
def test_everybody_can_read_it(browser: Browser, page_file: Path) -> None:
    with opened(browser, page_file) as tab:
        for look in tab.looks():
            assert tab.violations() == [], look
            assert not tab.scrolls_sideways(), look
            assert tab.broken_images() == [], look
            assert tab.complaints == [], look


def test_changes_are_gone_through_by_kind_and_by_keyboard(tab: Page) -> None:
    shown = tab.locator(".change:visible")
    counts = {"broken": 7, "fixed": 4, "both wrong": 2}
    expect(shown).to_have_count(sum(counts.values()))
    tab.get_by_role("radio", name="all").focus()
    for kind, count in counts.items():
        tab.keyboard.press("ArrowRight")
        expect(tab.get_by_role("radio", name=f"{kind} ({count})")).to_be_checked()
        expect(shown).to_have_count(count)
        expect(shown.first.locator(".kind")).to_have_text(kind)
