"""summary.html in a browser, with pictures: wide and narrow, light and dark."""

from pathlib import Path

from playwright.sync_api import Browser

from tests.browser import NARROW, opened
from tests.scorer.committing.test_thumbnails import labelled, two_nights
from tests.scorer.made_runs import Image


def test_the_classes_are_seen_whole_on_a_telephone(browser: Browser, output: Path, photos: Path) -> None:
    two_nights(output, photos, labelled(photos, "dog"))
    with opened(browser, output / "runs" / "night-2" / "summary.html", width=NARROW) as window:
        classes = window.page.get_by_role("region", name="What the images were taken for")
        assert classes.evaluate("region => region.scrollWidth <= region.clientWidth")
        assert window.page.locator(".histogram i.last").count() == 1  # none where the last run has no image


def test_the_page_of_a_night_opens_and_everybody_can_read_it(
    browser: Browser, output: Path, photos: Path
) -> None:
    (photos / "001.jpeg").write_bytes(b"nothing")
    second = [*labelled(photos, "<script>dog</script>"), Image("never-there" * 20 + ".jpg", None)]
    two_nights(output, photos, sorted(second))
    with opened(browser, output / "runs" / "night-2" / "summary.html") as window:
        for look in window.looks():
            assert window.violations() == [], look
            assert not window.scrolls_sideways(), look
            assert window.page.locator("img").count() == 11
            assert window.broken_images() == []
            assert window.complaints == []
