"""Which images the report shows, and how many."""

import numpy as np

from tests.trainer.report.made import ANIMALS, make_images
from trainer.report.album import Album
from trainer.report.mistakes import show_matrix, show_pairs
from trainer.report.outcomes import MOST_RIGHT, MOST_WRONG, Outcomes, in_turn

TARGETS = np.array([0] * 30 + [1])
PREDICTED = np.array([0] * 15 + [1] * 15 + [1])
OUTCOMES = Outcomes(
    TARGETS,
    PREDICTED,
    np.linspace(0.5, 0.9, 31, dtype=np.float32),
    np.linspace(0.4, 0.1, 31, dtype=np.float32),
)
COUNTS = np.array([[15, 15, 0], [0, 1, 0], [0, 0, 0]])


def album(budget_bytes: int) -> Album:
    return Album(make_images(TARGETS.tolist(), ANIMALS), OUTCOMES, ANIMALS, budget_bytes)


def test_of_mistakes_the_surest_come_first_and_of_right_answers_the_least_sure() -> None:
    assert OUTCOMES.members(0, 1) == [29, 28, 27, 26, 25, 24, 23, 22]
    assert OUTCOMES.members(0, 0) == [0, 1, 2, 3]
    assert (len(OUTCOMES.members(0, 1)), len(OUTCOMES.members(0, 0))) == (MOST_WRONG, MOST_RIGHT)


def test_the_worst_are_those_that_gave_the_truth_least() -> None:
    assert OUTCOMES.worst() == list(range(30, 18, -1))


def test_no_group_waits_until_another_has_all() -> None:
    assert list(in_turn([[1, 2, 3], [], [4, 5]])) == [(0, 1), (2, 4), (0, 2), (2, 5), (0, 3)]


def test_a_full_album_takes_no_more() -> None:
    (first,) = [album(10_000_000).thumbnail(0)]
    assert first is not None
    small = album(3 * len(first.address))
    cells = [cell for row in show_matrix(small, OUTCOMES, COUNTS) for cell in row if cell.pictures]
    assert 2 <= sum(len(cell.pictures) for cell in cells) <= 4
    assert {(cell.truth, cell.predicted) for cell in cells} >= {(0, 1), (0, 0)}


def test_pairs_come_with_their_images() -> None:
    (pair,) = show_pairs(album(10_000_000), OUTCOMES, COUNTS, ANIMALS)
    assert (pair.pair.truth, pair.pair.predicted, pair.pair.count) == ("cat", "dog", 15)
    assert [picture.name for picture in pair.pictures][:2] == ["29.png", "28.png"]
    assert all(picture.address.startswith("data:image/webp;base64,") for picture in pair.pictures)
