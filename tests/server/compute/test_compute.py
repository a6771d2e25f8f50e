from typing import cast

import numpy as np

from fovea.errors import ImageInvalid
from fovea.images.preprocess import Pixels
from fovea.model.classifier import Classifier, Probabilities
from server.compute.compute import CpuCompute, GpuCompute, Picture

CROP = np.zeros((2, 2, 3), np.uint8)


class Counting:
    """As much of a Classifier as computing touches: counts the images that it is given."""

    def __init__(self) -> None:
        self.images = 0

    def classify(self, pixels: Pixels) -> Probabilities:
        self.images += len(pixels)
        return np.full((len(pixels), 2), 0.5, np.float32)


def good() -> Picture:
    return Picture(lambda: CROP)


def bad() -> Picture:
    def decode() -> Pixels:
        raise ImageInvalid("undecodable", "the image is damaged")

    return Picture(decode)


def test_a_lone_image_takes_all_cores_and_tells_nothing_of_other_batches() -> None:
    narrow, wide = Counting(), Counting()
    compute = CpuCompute(cast("Classifier", narrow), cast("Classifier", wide))
    assert not compute([good()], True).is_typical
    assert (narrow.images, wide.images) == (0, 1)
    assert compute([good()], False).is_typical
    assert compute([good(), good()], False).is_typical
    assert (narrow.images, wide.images) == (3, 1)


def test_a_batch_with_a_bad_image_tells_nothing_of_other_batches() -> None:
    model = Counting()
    for compute in (CpuCompute(cast("Classifier", model)), GpuCompute(cast("Classifier", model))):
        assert compute([good(), good()], False).is_typical
        computed = compute([good(), bad()], False)
        assert [type(outcome) for outcome in computed.outcomes] == [np.ndarray, ImageInvalid]
        assert not computed.is_typical


def test_a_bad_image_is_not_held_by_its_own_failure() -> None:
    def decode() -> None:
        try:
            raise OSError("broken data stream")
        except OSError as error:
            raise ImageInvalid("undecodable", "the image is damaged") from error

    outcome = Picture(decode).decode()  # type: ignore[arg-type]
    assert isinstance(outcome, ImageInvalid)
    assert (outcome.reason, str(outcome)) == ("undecodable", "the image is damaged")
    assert (outcome.__traceback__, outcome.__cause__, outcome.__context__) == (None, None, None)
