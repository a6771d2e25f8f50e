"""summary.html, as it is written beside a run's rows."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

from tests.scorer.made_runs import Image, commit, make_run
from tests.scorer.runs import ROOT

HOSTILE = "<script>alert(1)</script>"


class Elements(HTMLParser):
    """The names of a page's elements, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def page(output: Path, run: str = "night-1") -> str:
    return (output / "runs" / run / "summary.html").read_text()


def two_nights(output: Path, first: list[Image], second: list[Image]) -> str:
    commit(*make_run(output, [first], "night-1", day=1))
    commit(*make_run(output, [second], "night-2", day=2), "--max-bad-fraction", "1")
    return page(output, "night-2")


def test_labels_and_keys_and_errors_are_no_markup(output: Path) -> None:
    keys = [f"{HOSTILE}{n}.jpg" for n in range(3)]
    first = [Image(keys[0], HOSTILE), Image(keys[1]), Image(keys[2])]
    second = [Image(keys[0], "red"), Image(keys[1], HOSTILE), Image(keys[2], None)]
    elements = Elements(two_nights(output, first, second))
    assert "script" not in elements.names
    assert elements.text.count(HOSTILE) >= 6


def test_what_turns_the_direction_of_a_name_is_spelled_out(output: Path) -> None:
    commit(*make_run(output, [[Image("a\u202egnp.exe", None), Image("ok.png"), Image("z.png")]]))
    assert r"a\u202egnp.exe" in Elements(page(output)).text


def test_a_name_keeps_its_direction_to_itself_and_a_long_one_is_cut(output: Path) -> None:
    long, arabic = "a" * 5000, "\u0642\u0637\u0629"
    html = two_nights(output, [Image("a.jpg", long)], [Image("a.jpg", arabic)])
    assert f"<b><bdi>{'a' * 39}…{'a' * 20}</bdi></b>" in html
    assert f"<b><bdi>{arabic}</bdi></b>" in html
    assert "a" * 61 not in html


def test_how_sure_the_model_was_is_told_in_numbers_too(output: Path) -> None:
    text = Elements(two_nights(output, [Image("a.jpg", "red", 0.32)], [Image("a.jpg", "red", 0.97)])).text
    assert "0.95 to 1100.0%0.0%" in text
    assert "0.3 to 0.350.0%100.0%" in text


def test_the_page_needs_nothing_but_itself(output: Path) -> None:
    html = two_nights(output, [Image("a.jpg")], [Image("a.jpg", "blue")])
    assert not Elements(html).names & {"link", "img", "script", "iframe"}
    assert not re.search(r"url\(|@import|https?://", html)
    assert "prefers-color-scheme: dark" in html
    assert "default-src 'none'" in html
    assert "@media print" in html


def test_the_page_of_a_first_run_says_that_nothing_is_compared(output: Path) -> None:
    commit(*make_run(output, [[Image("a.jpg")]]))
    assert "Nothing is compared: no run was finished before this one." in Elements(page(output)).text


def test_the_page_of_an_empty_run_says_so(output: Path) -> None:
    commit(*make_run(output, [[]]))
    assert "Nothing was there to be scored." in Elements(page(output)).text


def test_many_classes_and_examples_are_cut_short(output: Path) -> None:
    first = [Image(f"{n:03}.jpg", f"class {n}") for n in range(60)]
    second = [Image(image.key, "red") for image in first]
    html = two_nights(output, first, second)
    assert "The 21 other classes are in summary.json." in html
    assert html.count("the same image</span>") == 30


def test_the_page_is_made_where_only_the_packages_were_copied(tmp_path: Path, output: Path) -> None:
    """As in the image: Dockerfile.serve copies fovea/ and scorer/ and nothing else of the repository."""
    make_run(output, [[Image("a.jpg")]])
    for package in ("fovea", "scorer"):
        shutil.copytree(ROOT / package, tmp_path / "app" / package)
    subprocess.run(
        [sys.executable, "-P", "-m", "scorer", "commit", "--output", str(output), "--run-id", "night-1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "app")},
        check=True,
    )
    assert "<h1>1 image by tiny version 1</h1>" in page(output)
