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


def test_three_thousand_classes_of_hostile_names_none_of_them_right(trained: Path) -> None:
    labels = tuple(f"{number:04}{'<&' * 500}" for number in range(3000))
    page = make_page(trained, labels, [(truth, (truth + 1) % 3000) for truth in range(3000)])
    assert len(page.encode()) < LIMIT_BYTES
    assert page.count('<th scope="row">') > 3000
    assert page.count('class="thumbs"') == 10
    assert "3,000 classes are too many for a matrix" in " ".join(page.split())
    assert "The first 60 of 3,000 classes" in page
    assert not re.search(r'class="matrix', page)
