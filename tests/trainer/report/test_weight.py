"""The report stays below 5 MB, whatever it is about."""

import re
from itertools import product
from pathlib import Path

from tests.trainer.report.made import make_page

LIMIT_BYTES = 5_000_000
EVERYTHING_AS_EVERYTHING = [pair for pair in product(range(40), range(40)) for _ in range(3)]


def test_every_class_of_forty_taken_for_every_other_in_large_photographs(trained: Path) -> None:
    labels = tuple(f"class {number}" for number in range(40))
    page = make_page(trained, labels, EVERYTHING_AS_EVERYTHING, size=512)
    assert len(page.encode()) < LIMIT_BYTES
    assert page.count("<img") > 200
    assert "none of them shown" in page
    assert "1 of them shown" in page


def test_thousands_of_classes_of_hostile_names_none_of_them_right(trained: Path) -> None:
    longest = "'\x1b" * 500
    labels = tuple(f"{number:04}{longest}" for number in range(2200))
    page = make_page(trained, labels, [(truth, (truth + 1) % 2200) for truth in range(2200)])
    assert len(page.encode()) < LIMIT_BYTES
    assert page.count('<tr><th scope="row"><bdi>') == 2000
    assert "The 2,000 weakest of 2,200 classes; all of them are in bundle.json." in page
    assert page.count('class="thumbs"') == 11
    assert "2,200 classes are too many for a matrix" in " ".join(page.split())
    assert "The first 60 of 2,200 classes" in page
    assert not re.search(r'class="matrix', page)
