from pathlib import Path

from server.rollout.stand_in import why_it_cannot
from tests import tiny


def test_a_version_that_refuses_what_the_current_one_answers_cannot_stand_in_for_it(
    tmp_path: Path,
) -> None:
    plain = tiny.stage_bundle(tmp_path / "plain").contract
    fewer = plain.model_copy(update={"labels": plain.labels[:2]})
    more = plain.model_copy(update={"labels": (*plain.labels, "grey")})
    embeds = tiny.stage_bundle(tmp_path / "embeds", embeds=True).contract
    assert why_it_cannot(more, plain, "fp32") == why_it_cannot(embeds, plain, "fp32") == ""
    assert "2 labels and the current version 3" in why_it_cannot(fewer, plain, "fp32")
    why = why_it_cannot(plain, embeds, "fp32")
    assert why.startswith("it was released without distances and label sets and embeddings")


def test_labels_that_callers_know_by_their_place_keep_it(tmp_path: Path) -> None:
    plain = tiny.stage_bundle(tmp_path / "plain").contract
    first, *rest = plain.labels
    turned = plain.model_copy(update={"labels": (*rest, first)})
    inserted = plain.model_copy(update={"labels": (first, "grey", *rest)})
    assert f"its label 0 is {rest[0]!r} and the current version's {first!r}" in why_it_cannot(
        turned, plain, "fp32"
    )
    assert "its label 1 is 'grey'" in why_it_cannot(inserted, plain, "fp32")
