"""The pictures of changed labels on summary.html."""

import base64
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest

from fovea.errors import ObjectUnreadable
from fovea.stores.storage import LocalFolder, open_folder
from scorer.committing import thumbnails
from scorer.committing.changes import ChangedImage
from scorer.committing.thumbnails import read_thumbnails
from tests import tiny
from tests.scorer.made_runs import Image, commit, made_spec, make_run


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


def about(photos: Path) -> dict[str, Any]:
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


class Source(LocalFolder):
    """One of its objects is archived, and each read takes ten seconds by the clock here."""

    now_s = 0.0

    def read(self, key: str, etag: str = "") -> bytes:
        self.now_s += 10
        if key == "002.webp":
            raise ObjectUnreadable(f"{key}: cannot be read: it is archived; restore it first")
        return super().read(key, etag)


def read(source: Source, monkeypatch: pytest.MonkeyPatch, longest_s: float) -> list[str]:
    """Of each image in its turn why it is not shown; "" where it is."""
    run = made_spec(source="photos", max_image_bytes=1_000_000, max_image_pixels=1_000_000)
    monkeypatch.setattr(thumbnails, "open_source", lambda uri: source)
    monkeypatch.setattr(thumbnails, "PATIENCE_S", longest_s)
    monkeypatch.setattr(thumbnails, "time", SimpleNamespace(monotonic=lambda: source.now_s))
    taken = read_thumbnails(run, [ChangedImage(entry.key, entry.etag) for entry in source.entries()])
    assert all(bool(thumbnail.address) != bool(thumbnail.why_not) for thumbnail in taken)
    return [thumbnail.why_not for thumbnail in taken]


def test_an_image_that_was_archived_since_costs_its_own_picture_alone(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read(Source(photos), monkeypatch, 3600) == ["", "", "cannot be read", *[""] * 9]


def test_no_read_is_begun_after_the_time_that_pictures_may_take(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for longest_s, begun in ((0, 0), (10, 1), (50, 5), (51, 6)):
        taken = read(Source(photos), monkeypatch, longest_s)
        assert taken == [*["", "", "cannot be read", "", "", ""][:begun], *["not read"] * (12 - begun)]


def test_a_picture_is_the_whole_of_a_square_image(tmp_path: Path) -> None:
    framed = PIL.Image.new("RGB", (400, 400), "red")
    framed.paste("blue", (50, 50, 350, 350))
    framed.save(tmp_path / "framed.png")
    run = made_spec(source=str(tmp_path), max_image_bytes=100_000, max_image_pixels=160_000)
    (entry,) = open_folder(str(tmp_path)).entries()
    (taken,) = read_thumbnails(run, [ChangedImage("framed.png", entry.etag)])
    encoded = (taken.address or "").removeprefix("data:image/webp;base64,")
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
    assert picture.size == (96, 96)
    for place, is_frame in ((6, True), (18, False), (48, False), (78, False), (90, True)):
        for at in ((place, 48), (48, place)):
            red, _, blue = picture.getpixel(at)  # type: ignore[misc]
            assert (red > blue) == (is_frame), at


def test_thirty_of_many_images_are_read(output: Path, tmp_path: Path) -> None:
    tiny.fill_folder(tmp_path / "many", 36)
    page = two_nights(output, tmp_path / "many", labelled(tmp_path / "many", "dog"))
    assert page.count("<img") == 30
    assert "More of them are in summary.json." in page
