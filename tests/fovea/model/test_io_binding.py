import numpy as np
import pytest

from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.model.io_binding import IoBinding
from fovea.model.sessions import open_session
from tests import tiny


@pytest.fixture(scope="module")
def binding(tiny_bundle: ModelBundle) -> IoBinding:
    """On the CPU: what differs on a GPU is where the buffers lie."""
    session = open_session(tiny_bundle.model_path, "cpu")
    outputs = tiny_bundle.contract.output_values
    return IoBinding(session, tiny.SPEC.size, outputs, [4, 1, 2], device="cpu")


@pytest.mark.parametrize("images", [1, 2, 3, 4, 5, 11])
def test_padded_and_split_batches_give_the_models_own_answers(
    binding: IoBinding, tiny_classifier: Classifier, images: int
) -> None:
    pixels = np.random.default_rng(images).integers(0, 256, (images, 16, 16, 3), np.uint8)
    (probabilities,) = binding.run(pixels, ["probabilities"])
    assert np.array_equal(probabilities, tiny_classifier.classify(pixels))


def test_batches_are_split_only_where_they_are_larger_than_any_buffer(binding: IoBinding) -> None:
    assert binding.largest == 4


def test_an_answer_stays_when_the_buffers_are_used_again(binding: IoBinding) -> None:
    pixels = np.zeros((2, 16, 16, 3), np.uint8)
    (first,) = binding.run(pixels, ["logits"])
    copy = first.copy()
    binding.run(pixels + 255, ["logits"])
    assert np.array_equal(first, copy)


@pytest.mark.parametrize("images", [1, 3, 11])
def test_logits_come_beside_the_probabilities_where_they_are_wanted(
    binding: IoBinding, tiny_classifier: Classifier, images: int
) -> None:
    pixels = np.random.default_rng(images).integers(0, 256, (images, 16, 16, 3), np.uint8)
    both = binding.run(pixels, ["probabilities", "logits"])
    assert np.array_equal(np.stack(both, 1), tiny_classifier.classify_with_logits(pixels))
    assert np.array_equal(both[0], tiny_classifier.classify(pixels))
