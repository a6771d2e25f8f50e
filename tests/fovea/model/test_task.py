"""A multi-label bundle says what it is, and a program that knows only single-label ones refuses it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fovea.errors import BundleInvalid
from fovea.images.preprocess import decode_image
from fovea.model.bundle import CONTRACT_FILE, BundleContract, ModelBundle, read_contract
from fovea.model.classifier import Classifier
from fovea.model.task import NEVER_SELECTED, ThresholdRule, check_labels_terms, selected
from tests import tiny


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return tiny.stage_bundle(tmp_path_factory.mktemp("multi") / "1", multi=True, variants={"fp16": 8.0})


def test_it_selects_each_label_that_an_image_has(multi: ModelBundle) -> None:
    names = ("red", "blue", "yellow", "white", "black")
    crops = np.stack([decode_image(tiny.picture(name), tiny.SPEC) for name in names])
    classifier = Classifier(multi, provider="cpu", threads=1)
    assert multi.contract.thresholds is not None
    chosen = selected(classifier.classify(crops), multi.contract.thresholds)
    assert [tuple(row) for row in chosen.astype(int).tolist()] == [
        (1, 0, 0),
        (0, 0, 1),
        (1, 1, 0),
        (1, 1, 1),
        (0, 0, 0),
    ]


def test_probabilities_are_each_labels_sigmoid_at_its_temperature(multi: ModelBundle) -> None:
    crops = multi.golden().crops
    probabilities, logits = Classifier(multi, "cpu", 1).answers(crops, ("probabilities", "logits"))
    expected = 1 / (1 + np.exp(-logits / np.array(tiny.TEMPERATURES, np.float32)))
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_a_label_at_its_threshold_is_selected_as_float32_has_it() -> None:
    probabilities = np.array([[0.3, 0.3, 0.3]], np.float32)
    assert selected(probabilities, (0.3, 0.3000001, 0.2999999)).tolist() == [[True, False, True]]


def test_a_threshold_above_1_is_never_reached() -> None:
    probabilities = np.ones((1, 2), np.float32)
    assert selected(probabilities, (1.0, NEVER_SELECTED)).tolist() == [[True, False]]
    check_labels_terms(2, (1.0, 1.0), (1.0, NEVER_SELECTED))


def test_a_model_that_answers_otherwise_fails_its_golden_check(tmp_path: Path) -> None:
    bundle = tiny.stage_bundle(tmp_path / "1", multi=True)
    weaker = tiny.stage_bundle(tmp_path / "2", multi=True, gain=7.0)
    (bundle.path / "model.onnx").write_bytes((weaker.path / "model.onnx").read_bytes())
    with pytest.raises(BundleInvalid, match="golden check failed"):
        Classifier(bundle, provider="cpu", threads=1)


def test_its_contract_is_of_format_2_and_survives_its_file(multi: ModelBundle) -> None:
    written = json.loads((multi.path / CONTRACT_FILE).read_text())
    assert (written["format"], written["task"]) == (2, "multi")
    assert read_contract(multi.path) == multi.contract
    assert json.loads(multi.contract.embedded())["thresholds"] == list(tiny.THRESHOLDS)


def test_a_single_label_contract_is_written_as_before_there_were_others(tiny_bundle: ModelBundle) -> None:
    written = json.loads((tiny_bundle.path / CONTRACT_FILE).read_text())
    new = {"task", "temperatures", "thresholds", "threshold_rule", "label_metrics"}
    assert written["format"] == 1
    assert not new & written.keys()
    assert not new & json.loads(tiny_bundle.contract.embedded()).keys()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": 1}, "format 1 is not that of task multi"),
        ({"task": "single"}, "format 2 is not that of task single"),
        ({"task": "single", "format": 1}, "are of task multi alone"),
        ({"thresholds": None}, "thresholds should be one for each of the 3 labels"),
        ({"thresholds": (0.5, 0.5)}, "thresholds should be one for each of the 3 labels"),
        ({"thresholds": (0.5, 0.0, 0.5)}, "each above 0"),
        ({"thresholds": (0.5, 1.1, 0.5)}, "1 at most"),
        ({"temperatures": (1.0, float("nan"), 1.0)}, "temperatures should be one for each"),
        ({"temperatures": None}, "temperatures should be one for each"),
        ({"temperature": 2.0}, "temperature"),
        ({"abstain_threshold": 0.5}, "neither abstains nor has sets"),
        ({"prediction_sets": tiny.SETS}, "neither abstains nor has sets"),
        ({"out_of_distribution": tiny.NOVELTY}, "neither abstains nor has sets"),
        ({"labels": ()}, "labels"),
    ],
)
def test_a_contract_that_contradicts_its_task_is_refused(
    multi: ModelBundle, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        BundleContract.model_validate(dict(multi.contract) | changes)


def test_one_label_is_enough_for_a_multi_label_model(multi: ModelBundle) -> None:
    alone = {"labels": ("red",), "temperatures": (1.0,), "thresholds": (0.5,)}
    assert BundleContract.model_validate(dict(multi.contract) | alone).labels == ("red",)


def test_a_rule_by_precision_says_which() -> None:
    assert ThresholdRule(by="precision", target_precision=0.9).target_precision == 0.9
    for wrong in ({"by": "precision"}, {"by": "f1", "target_precision": 0.9}):
        with pytest.raises(ValidationError, match="target_precision"):
            ThresholdRule.model_validate(wrong)
