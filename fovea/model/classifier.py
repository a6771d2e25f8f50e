"""An onnxruntime session over a model bundle: uint8 crops in, probabilities out."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fovea.errors import BundleInvalid, ImageInvalid
from fovea.images.formats import differences, image_path
from fovea.images.preprocess import Pixels, decode_image
from fovea.model.bundle import EMBEDDING, METADATA_KEY, ModelBundle, Precision
from fovea.model.golden import Golden
from fovea.model.io_binding import Answers, IoBinding, Probabilities
from fovea.model.saturation import needs_exact_sums
from fovea.model.sessions import CPU, CUDA, Provider, SessionOptions, open_session, ort
from fovea.truth.known_classes import Embeddings

__all__ = ["CPU", "CUDA", "Classifier", "Probabilities", "Provider", "SessionOptions", "top_k"]

logger = logging.getLogger(__name__)

GOLDEN_TOLERANCES: Final[dict[Precision, float]] = {
    "fp32": 1e-3,
    "fp16": 2e-2,
    "int8": 5e-2,
    "int8-full": 5e-2,
}
"""Largest difference of a probability from the golden one of the same precision."""
GOLDEN_DISTANCE_TOLERANCES: Final[dict[Precision, float]] = {
    "fp32": 0.02,
    "fp16": 0.1,
    "int8": 0.5,
    "int8-full": 0.5,
}
"""Of a distance from the golden one, as a share of the threshold, or of 1 where that is larger."""
LARGEST_CROP_DIFFERENCE: Final = 1
"""Of a pixel from the golden crop's, in levels of 255."""


class Classifier:
    """A model that was seen to give its golden answers on this machine and provider.

    On a CPU `classify` may be called from several threads at once: onnxruntime releases the interpreter lock.
    On a GPU one thread at a time may call it.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        provider: Provider = "auto",
        threads: int | None = None,
        precision: Precision = "fp32",
        *,
        options: SessionOptions | None = None,
        batch_sizes: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
        shared: Path | None = None,
        golden_images: int | None = None,
    ) -> None:
        """Loads the model and makes the golden check.

        `threads` are onnxruntime's intra-op threads; by default, the cores that this process may use;
        `options` say more than that. A GPU computes the `batch_sizes` alone: others are padded, or split.
        `shared` is what `shared_weights.share` made of the precision's model, for a CPU.
        All golden images are checked, or the first `golden_images` where another process of this machine has
        checked all; the model is then warm for so many.
        Raises BundleInvalid when the bundle has no such precision or the model is not what its contract
        says, Unavailable when the provider does not come up (a provider that is asked for by name is never
        replaced by another).
        """
        self.bundle = bundle
        self.precision: Precision = precision
        model = shared or bundle.file_of(precision)
        options = options or SessionOptions(threads)
        exact_sums = options.exact_sums or (shared is None and needs_exact_sums(precision))
        options = replace(options, is_optimized=shared is not None, exact_sums=exact_sums)
        self._session = open_session(model, provider, options)
        self.provider: str = self._session.get_providers()[0]
        """onnxruntime's name of the execution provider."""
        side, outputs = bundle.contract.preprocess.size, bundle.contract.output_values
        on_gpu = self.provider == CUDA
        self._binding = IoBinding(self._session, side, outputs, batch_sizes) if on_gpu else None
        _check_contract(bundle, model, self._session)
        _check_golden(self, golden_images)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.bundle.contract.labels

    def classify(self, pixels: Pixels, *, give_back: bool = False) -> Probabilities:
        """pixels uint8 [n, S, S, 3] RGB, n >= 1 -> probabilities float32 [n, classes]; each row sums to 1,
        but those of a multi-label model, each of which is its label's own.

        On a CPU, onnxruntime keeps the memory of a run for the next; with `give_back` that of all so far is
        given back after this one. Raises ValueError for another shape or dtype.
        """
        (probabilities,) = self.answers(pixels, ("probabilities",), give_back)
        return probabilities

    def classify_with_logits(self, pixels: Pixels) -> Probabilities:
        """As `classify`, -> float32 [n, 2, classes]: each image's probabilities, then its logits."""
        return np.stack(self.answers(pixels, ("probabilities", "logits")), axis=1)

    def classify_with_embeddings(
        self, pixels: Pixels, *, give_back: bool = False
    ) -> tuple[Probabilities, Embeddings]:
        """As `classify`, and embeddings float32 [n, D], each of length 1. Only where the contract says so:
        older models give none."""
        probabilities, embeddings = self.answers(pixels, ("probabilities", "embedding"), give_back)
        return probabilities, embeddings

    def answers(self, pixels: Pixels, outputs: Sequence[str], give_back: bool = False) -> list[Answers]:
        """As `classify`, -> of each of these outputs of the contract's, float32 [n, values]."""
        self._check(pixels)
        if self._binding:
            return self._binding.run(pixels, outputs)
        options = _giving_back() if give_back and self.provider == CPU else None
        answers = self._session.run(outputs, {"pixels": pixels}, options)
        return [np.asarray(answer, dtype=np.float32) for answer in answers]

    def _check(self, pixels: Pixels) -> None:
        side = self.bundle.contract.preprocess.size
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3):
            raise ValueError(
                f"pixels must be uint8 [n, {side}, {side}, 3], not {pixels.dtype} {pixels.shape}"
            )


def top_k(probabilities: Probabilities, k: int) -> tuple[npt.NDArray[np.int64], Probabilities]:
    """The k best classes of each row: indices and probabilities, [n, k], best first; ties by lower index."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(probabilities, order, axis=1)


def _giving_back() -> ort.RunOptions:
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _check_contract(bundle: ModelBundle, model: Path, session: ort.InferenceSession) -> None:
    embedded = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if embedded is None:
        raise BundleInvalid(f"{model}: carries no contract (metadata {METADATA_KEY!r})")
    if embedded != bundle.contract.embedded():
        raise BundleInvalid(f"{bundle.path}: bundle.json and the contract inside {model.name} differ")


def _check_crops(bundle: ModelBundle, golden: Golden) -> None:
    """Another decoder may round another way: a difference of one level is said, and a larger one refused."""
    one_off = []
    for index, data in enumerate(golden.files):
        try:
            crop = decode_image(data, bundle.contract.preprocess)
        except ImageInvalid as error:
            raise BundleInvalid(f"{bundle.path}: golden image {index}: {error}") from error
        off = int(np.abs(crop.astype(np.int16) - golden.crops[index]).max())
        if off > LARGEST_CROP_DIFFERENCE:
            raise BundleInvalid(
                f"{bundle.path}: golden image {index} does not decode to the pixels that the model was "
                f"released with, by {off} levels; {_why_crops_differ(bundle)}"
            )
        one_off += [index] if off else []
    if one_off:
        logger.warning(
            "%s: %d of %d golden images differ by one level from those that the model was released with; %s",
            bundle.path,
            len(one_off),
            len(golden.files),
            _why_crops_differ(bundle),
        )


def _why_crops_differ(bundle: ModelBundle) -> str:
    before = bundle.contract.image_path
    if not before:
        return "the image libraries or the preprocessing differ"
    changed = differences(before, image_path())
    return (
        f"here is {changed}"
        if changed
        else "the image libraries are the same: the machine or the files differ"
    )


def _check_golden(classifier: Classifier, images: int | None) -> None:
    bundle = classifier.bundle
    golden = bundle.golden().first(images)
    _check_crops(bundle, golden)
    expected = bundle.golden_probabilities(classifier.precision)[:images]
    outputs = ("probabilities", EMBEDDING)[: 1 + bundle.contract.gives_embeddings]
    probabilities, *embeddings = classifier.answers(golden.crops, outputs, images is None)
    off = float(np.abs(probabilities - expected).max())
    tolerance = GOLDEN_TOLERANCES[classifier.precision]
    if not off <= tolerance:
        raise BundleInvalid(
            f"{bundle.path}: golden check failed: probabilities are off by {off:.2g}, more than "
            f"{tolerance:g}, on {classifier.provider}"
        )
    _check_golden_distances(classifier, embeddings, images)


def _check_golden_distances(classifier: Classifier, embeddings: list[Embeddings], images: int | None) -> None:
    bundle, precision = classifier.bundle, classifier.precision
    expected, novelty = bundle.golden_distances(precision), bundle.contract.out_of_distribution
    known_classes = bundle.known_classes()
    if expected is None or novelty is None or known_classes is None:
        return
    off = float(np.abs(known_classes.distances(*embeddings) - expected[:images]).max())
    tolerance = GOLDEN_DISTANCE_TOLERANCES[precision] * max(1, novelty.threshold)
    if not off <= tolerance:
        raise BundleInvalid(
            f"{bundle.path}: golden check failed: distances are off by {off:.2g}, more than {tolerance:.2g}, "
            f"on {classifier.provider}"
        )
