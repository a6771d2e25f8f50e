"""The same files through two models."""

from pathlib import Path

import numpy as np

from fovea.images.preprocess import decode_image
from fovea.model.classifier import Classifier
from tests import tiny
from tests.tiny import LABELS
from tests.trainer.compare.made import write_images
from trainer.compare.replay import replay
from trainer.images.sources import open_heldout


def test_each_model_answers_each_image_as_it_would_alone(tmp_path: Path) -> None:
    new, old = (
        Classifier(tiny.stage_bundle(tmp_path / f"{gain}", gain=gain), "cpu", 1) for gain in (8.0, 2.0)
    )
    images = write_images(tmp_path / "images", count=15)
    samples = open_heldout(str(images), tmp_path / "cache", LABELS).samples
    answers = replay(new, old, samples, threads=2)
    crops = np.stack([decode_image(sample.read(), tiny.SPEC) for sample in samples])
    assert answers.samples == list(samples)
    assert np.array_equal(answers.new, new.classify(crops))
    assert np.array_equal(answers.old, old.classify(crops))
    assert not np.allclose(answers.new, answers.old)
