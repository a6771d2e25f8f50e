from typing import cast

import numpy as np

from fovea.errors import ImageInvalid
from fovea.images.preprocess import Pixels
from fovea.images.spec import PreprocessSpec
from fovea.model.classifier import Classifier, Probabilities
from server.compute.backend import CpuBackend, Decoder, GpuBackend, WorkItem

CROP = np.zeros((2, 2, 3), np.uint8)


class Counting:
    """As much of a Classifier as computing touches: counts the images that it is given."""

    def __init__(self) -> None:
        self.images = 0
        self.runs: list[int] = []

    def classify(self, pixels: Pixels) -> Probabilities:
        self.images += len(pixels)
        self.runs.append(len(pixels))
        return np.full((len(pixels), 2), 0.5, np.float32)


def good() -> WorkItem:
    return WorkItem(b"good")


def bad() -> WorkItem:
    return WorkItem(b"bad")


def decode(item: WorkItem) -> Pixels:
    if item.content == b"bad":
        raise ImageInvalid("undecodable", "the image is damaged")
    return CROP


def test_a_lone_image_takes_all_cores_and_tells_nothing_of_other_batches() -> None:
    narrow, wide = Counting(), Counting()
    compute = CpuBackend(cast("Classifier", narrow), decode, cast("Classifier", wide))
    assert not compute([good()], True).is_typical
    assert (narrow.images, wide.images) == (0, 1)
    assert compute([good()], False).is_typical
    assert compute([good(), good()], False).is_typical
    assert (narrow.images, wide.images) == (3, 1)


def test_the_model_runs_on_as_many_images_as_it_is_fast_on_and_on_halves_of_that_at_the_end() -> None:
    for run_images, batch, runs in ((1, 3, [1, 1, 1]), (4, 11, [4, 4, 2, 1]), (4, 2, [2]), (2, 4, [2, 2])):
        model = Counting()
        compute = CpuBackend(cast("Classifier", model), decode)
        compute.run_images = run_images
        assert len(compute([good() for _ in range(batch)], False).outcomes) == batch
        assert model.runs == runs


def test_a_batch_with_a_bad_image_tells_nothing_of_other_batches() -> None:
    model = Counting()
    for kind in (CpuBackend, GpuBackend):
        compute = kind(cast("Classifier", model), decode)
        assert compute([good(), good()], False).is_typical
        computed = compute([good(), bad()], False)
        assert [type(outcome) for outcome in computed.outcomes] == [np.ndarray, ImageInvalid]
        assert not computed.is_typical


def test_a_bad_image_is_not_held_by_its_own_failure() -> None:
    def decode_badly(item: WorkItem) -> Pixels:
        try:
            raise OSError("broken data stream")
        except OSError as error:
            raise ImageInvalid("undecodable", "the image is damaged") from error

    outcome = bad().decode(decode_badly)
    assert isinstance(outcome, ImageInvalid)
    assert (outcome.reason, str(outcome)) == ("undecodable", "the image is damaged")
    assert (outcome.__traceback__, outcome.__cause__, outcome.__context__) == (None, None, None)


def test_an_image_is_decoded_once_and_its_bytes_are_given_up() -> None:
    item = good()
    decoded = [item.decode(decode), item.decode(lambda item: np.ones_like(CROP))]
    assert decoded[0] is decoded[1] is CROP
    assert len(item) == 0
    assert item.decode_s > 0


def test_a_crop_is_taken_as_it_is_in_no_time() -> None:
    spec, pixels = PreprocessSpec(size=2, resize=2), np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    item = WorkItem(memoryview(pixels.tobytes()), is_crop=True)
    np.testing.assert_array_equal(item.decode(Decoder(spec)), pixels)
    assert item.decode_s == 0
