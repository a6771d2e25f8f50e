"""What an image would teach."""

from tests.trainer.labelling.made import answer
from trainer.labelling.ranking import Told, interleave


def score(*rows: Told) -> float:
    first, *others = rows
    for other in others:
        first = first.and_(other)
    return first.score


def told(**changes: object) -> Told:
    return Told.of(answer(b"image", **changes))  # type: ignore[arg-type]


def test_disagreement_counts_more_than_all_else_together_then_strangers_then_doubt_then_margin() -> None:
    sure, unsure = told(margin=0.9), told(margin=0.1)
    abstained = told(margin=1.0, abstained=True)
    drifting = told(margin=1.0, reason="drifting_class")
    both = told(margin=0.0, abstained=True, reason="drifting_class")
    unknown, all_but = told(margin=1.0, unknown=True), told(margin=0.0, unknown=True, abstained=True)
    disagreement = told(margin=1.0, reason="disagreement")
    order = [sure, unsure, abstained, both, unknown, all_but, disagreement]
    assert [each.score for each in order] == sorted(each.score for each in order)
    assert sure.score < unsure.score < abstained.score == drifting.score == 1
    assert both.score <= unknown.score == 2
    assert all_but.score <= disagreement.score == 4


def test_answers_about_one_image_are_put_together() -> None:
    assert score(told(margin=0.5), told(margin=0.25)) == 0.75
    assert score(told(label="red"), told(label="blue")) == 4.5
    assert score(told(unknown=True), told(abstained=True)) == 3.5
    assert told(reason="uniform").and_(told()).uniform
    words = told(unknown=True, reason="uniform").and_(told(label="blue", abstained=True))
    assert list(words.why()) == [
        "answers disagree",
        "unlike the training's images",
        "the model abstained",
    ]


def test_every_tenth_was_drawn_and_each_is_there_once() -> None:
    best = [f"b{number}" for number in range(25)]
    order = interleave(best, ["d0", "b3", "d1"])
    assert sorted(order) == sorted([*best, "d0", "d1"])
    assert (order[9], order[19]) == ("d0", "b3")
    assert order[-1] == "d1"
    assert interleave([], ["d0", "d1"]) == ["d0", "d1"]
    assert interleave(["b0"], []) == ["b0"]
