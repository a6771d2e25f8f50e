"""The images to label, out of what was captured."""

import dataclasses
import io
from collections.abc import Container
from datetime import timedelta

import numpy as np
import pytest
from PIL import Image

from fovea.capture.rows import Captured
from fovea.errors import DataInvalid
from tests.captures import NOON
from tests.trainer.labelling.made import anew, answer, scene
from trainer.explain.pictures import as_png
from trainer.labelling.gathering import Best, Gathered, Gathering
from trainer.labelling.pictures import MOST_BYTES, grouped, picture_of


def gather(*rows: Captured, done: Container[str] = (), limit: int = 2000) -> Gathered:
    return Gathering("tiny", done, limit).gather(rows, 2)


def test_the_best_of_a_stream_are_kept_and_what_rises_takes_the_place_of_what_does_not() -> None:
    best: Best[str] = Best(2)
    for name, key in (("a", 1.0), ("b", 2.0), ("c", 0.5), ("a", 3.0), ("d", 2.5)):
        best.offer(name, key, f"{name}{key}")
    assert best.names() == ["a", "d"]
    assert (best.get("a"), best.get("b")) == ("a3.0", None)
    assert not best.would_keep("e", 2.5)
    assert best.would_keep("e", 2.6)
    assert best.would_keep("a", 0.0)
    assert not Best(0).would_keep("a", 9.0)


def test_what_is_offered_again_and_again_takes_no_more_memory() -> None:
    best: Best[int] = Best(2)
    for number in range(1000):
        best.offer("a", 1.0, number)
    assert (len(best._heap), best.get("a")) == (1, 999)


def test_the_same_bytes_are_one_image_with_its_latest_answer() -> None:
    one, other = scene(1), scene(2)
    later = answer(one, "blue", 0.25, answered_at=NOON + timedelta(hours=1))
    found = gather(answer(one), later, answer(other), answer(one, "green", 0.75))
    assert [each.row.sha256 for each in found.images] == [later.sha256, answer(other).sha256]
    assert found.images[0].row == dataclasses.replace(later, image=None)
    assert found.images[0].told.score == 4.75
    assert found.found == 2


def test_no_more_than_the_limit_are_kept_those_that_would_teach_most() -> None:
    rows = [answer(scene(seed), margin=seed / 100) for seed in range(12)]
    found = gather(*reversed(rows), limit=5)
    assert [each.row.margin for each in found.images] == [0, 0.01, 0.02, 0.03, 0.04]
    assert found.found == 12


def test_an_image_comes_in_late_when_another_answer_disagrees() -> None:
    rows = [answer(scene(seed), margin=seed / 100) for seed in range(8)]
    found = gather(*rows, answer(scene(7), "blue", 0.5), limit=3)
    assert [each.told.disagrees for each in found.images] == [True, False, False]
    assert found.images[0].row.sha256 == rows[7].sha256


def test_a_tenth_of_the_places_is_for_what_was_drawn_by_chance() -> None:
    unsure = [answer(scene(seed), margin=0.1, abstained=True) for seed in range(10)]
    drawn = [answer(scene(100 + seed), margin=0.99, reason="uniform") for seed in range(2)]
    found = gather(*drawn, *unsure, limit=10)
    assert [place for place, each in enumerate(found.images) if each.told.uniform] == [9]
    assert (len(found.images), found.found) == (10, 12)


def test_what_is_there_for_its_answers_does_not_count_as_drawn() -> None:
    hard = [answer(scene(seed), margin=0.1, abstained=True, reason="uniform") for seed in range(12)]
    easy = [answer(scene(100 + seed), margin=0.99, reason="uniform") for seed in range(12)]
    found = gather(*hard, *easy, limit=10)
    assert [place for place, each in enumerate(found.images) if each.drawn] == [9]
    highest = max(row.sha256[:13] for row in (*hard, *easy))
    assert found.images[9].row.sha256[:13] == highest


def test_what_is_not_shown_is_counted() -> None:
    shown = answer(scene(1))
    rows = (
        answer(b"no image"),
        answer(b"no image"),
        answer(None),
        answer(scene(2), model_name="birds"),
        answer(scene(3)),
    )
    found = gather(shown, *rows, done={rows[-1].sha256})
    assert [each.row.sha256 for each in found.images] == [shown.sha256]
    assert list(found.bad) == [rows[0].sha256]
    assert (found.found, found.without_bytes, found.labelled_before) == (1, 1, 1)
    assert dict(found.other_models) == {"birds": 1}


def test_bytes_of_another_digest_are_not_shown_and_a_digest_that_is_none_is_refused() -> None:
    other = answer(scene(1), sha256="f" * 64)
    assert gather(other).bad == {other.sha256: "its bytes have another sha256"}
    with pytest.raises(DataInvalid, match=r"sha256 is none: '\.\./x'"):
        gather(answer(scene(1), sha256="../x"))


def test_a_picture_shows_the_whole_image_in_its_proportions_and_is_small() -> None:
    picture = picture_of(scene(1))
    assert picture.compared.shape == (64, 64, 3)
    assert Image.open(io.BytesIO(picture.shown)).size == (224, 168)
    noise = np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)
    assert 1000 < len(picture_of(as_png(Image.fromarray(noise))).shown) <= MOST_BYTES


def test_nearly_the_same_pictures_are_one_group() -> None:
    files = [scene(1), scene(2), anew(scene(1), 60), scene(3), anew(scene(1), 90)]
    assert grouped([picture_of(file) for file in files], ["a", "b", "a", "c", "a"]) == [[0, 2, 4], [1], [3]]
    assert grouped([picture_of(files[0])], ["a"]) == [[0]]
    assert grouped([], []) == []
