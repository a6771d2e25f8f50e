"""The pictures of changed labels on summary.html."""

import base64
import io
import re
from pathlib import Path

import PIL.Image
import pytest
from playwright.sync_api import Browser

from fovea.stores.storage import open_folder
from scorer.committing.thumbnails import MOST
from tests import tiny
from tests.browser import NARROW, WIDE, Theme, opened
from tests.scorer.made_runs import Image, commit, make_run


def labelled(photos: Path, label: str) -> list[Image]:
    """Every image of the folder as it is now, with this label."""
    return [Image(entry.key, label, etag=entry.etag) for entry in open_folder(str(photos)).entries()]


def two_nights(output: Path, photos: Path, second: list[Image]) -> str:
    """summary.html of a second night with these rows; in the first, every image was a cat."""
    first_night(output, photos)
    return committed(output, photos, second)


def first_night(output: Path, photos: Path) -> None:
    commit(*make_run(output, [labelled(photos, "cat")], "night-1", day=1, **about(photos)))


def committed(output: Path, photos: Path, second: list[Image]) -> str:
    commit(*make_run(output, [second], "night-2", day=2, **about(photos)), "--max-bad-fraction", "1")
    return (output / "runs" / "night-2" / "summary.html").read_text()


def about(photos: Path) -> dict[str, object]:
    return {"source": str(photos), "max_image_bytes": 1_000_000, "max_image_pixels": 1_000_000}


def test_changed_images_are_shown(output: Path, photos: Path) -> None:
    page = two_nights(output, photos, labelled(photos, "dog"))
    pictures = re.findall(r'<img src="data:image/webp;base64,([^"]+)" [^>]*alt="Was cat, is dog"', page)
    assert len(pictures) == 12
    assert PIL.Image.open(io.BytesIO(base64.b64decode(pictures[0]))).size == (96, 96)


def test_images_that_are_not_what_was_scored_are_not_shown(output: Path, photos: Path) -> None:
    (photos / "000.png").write_bytes(b"not an image any more, and it never was")
    first_night(output, photos)
    second = labelled(photos, "dog")
    (photos / "001.jpeg").unlink()
    (photos / "002.webp").write_bytes(tiny.picture("red", (99, 99)))
    page = committed(output, photos, second)
    assert page.count("<img") == 9
    for why in ("cannot be decoded", "gone by now", "another by now"):
        assert page.count(f'<span class="missing">{why}</span>') == 1


def test_a_source_that_is_gone_costs_the_pictures_and_not_the_run(
    output: Path, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    second = labelled(photos, "dog")
    first_night(output, photos)
    photos.rename(tmp_path / "elsewhere")
    page = committed(output, photos, second)
    assert page.count('<span class="missing">not read</span>') == 12
    assert "summary.html shows no more images that changed their label" in caplog.text
    assert (output / "runs" / "night-2" / "_SUCCESS").exists()


def test_few_of_many_images_are_read(output: Path, tmp_path: Path) -> None:
    tiny.fill_folder(tmp_path / "many", MOST + 6)
    page = two_nights(output, tmp_path / "many", labelled(tmp_path / "many", "dog"))
    assert page.count("<img") == MOST
    assert "More of them are in summary.json." in page


def test_the_classes_are_seen_whole_on_a_telephone(browser: Browser, output: Path, photos: Path) -> None:
    two_nights(output, photos, labelled(photos, "dog"))
    with opened(browser, output / "runs" / "night-2" / "summary.html", width=NARROW) as window:
        classes = window.page.get_by_role("region", name="What the images were taken for")
        assert classes.evaluate("region => region.scrollWidth <= region.clientWidth")
        assert window.page.locator(".histogram i.last").count() == 1  # none where the last run has no image


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_of_a_night_opens_and_everybody_can_read_it(
    browser: Browser, output: Path, photos: Path, theme: Theme, width: int
) -> None:
    (photos / "001.jpeg").write_bytes(b"nothing")
    second = [*labelled(photos, "<script>dog</script>"), Image("never-there" * 20 + ".jpg", None)]
    two_nights(output, photos, sorted(second))
    with opened(browser, output / "runs" / "night-2" / "summary.html", theme=theme, width=width) as window:
        assert window.violations() == []
        assert not window.scrolls_sideways()
        assert window.page.locator("img").count() == 11
        assert window.broken_images() == []
        assert window.complaints == []
