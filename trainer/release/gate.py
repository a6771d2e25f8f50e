"""The release gate: a model is released only if, where it will serve, it is the model that was trained."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fovea.errors import GateRefused
from fovea.images.preprocess import Pixels, decode_image
from fovea.model.bundle import BundleContract
from fovea.model.sessions import SessionOptions, open_session
from fovea.truth.known_classes import Distances, Embeddings, KnownClasses
from trainer.evaluate.metrics import Logits
from trainer.evaluate.task import STRATEGIES, Measured
from trainer.images.batches import Images
from trainer.images.label_split import targets_of
from trainer.progress import show_progress

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LEAST_AGREEMENT = 0.999
LARGEST_ACCURACY_GAP = 0.001
LARGEST_DIFFERENCE = 1e-3
"""of a probability, for float32"""
LARGEST_TURN = 1e-2
"""of an embedding, for float32: the length of its difference from torch's, both having length 1, which moves
a cosine by 5e-5; float32's rounding alone is 2e-3 in a network that has hardly learnt"""
LEAST_SPREAD = 1e-6
"""of a probability between held-out images: float32's rounding gives no more"""
BATCH_SIZES = (1, 2, 7)
LARGEST_BATCH = 64
CHUNK = 256
"""Images that are in memory at once. The small batch sizes see the first chunk, the largest all."""


@dataclass(frozen=True)
class Reference:
    """What the torch model makes of the held-out images."""

    heldout: Images
    probabilities: Logits
    """float32 [n, classes]"""
    embeddings: Embeddings
    """float32 [m, D] of the first images: as many as are in memory at once, or all"""
    known_classes: KnownClasses | None
    """from the training images' embeddings; None of several labels an image, which are no classes"""
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Passed:
    """What was measured of the model that passed the gate."""

    measured: Measured
    distances: Distances
    """float32 [n], of the same images; zeros where there are no known classes"""


def pass_gate(model: Path, contract: BundleContract, reference: Reference, threads: int) -> Passed:
    """Runs the ONNX model by onnxruntime on the held-out files, decoded as the contract says.

    Returns what was measured there. Raises GateRefused, naming preprocess, labels or weights, when it is not
    the torch model: other pixels, top-1 agreement below .999, a probability or an embedding off by more than
    1e-3 (at batch sizes 1, 2, 7 and the largest), or an accuracy that is more than .1 point off; or where the
    torch model answers all images alike. Of several labels an image, what has to agree is which are selected,
    all of an image: of decisions nearly all agree by being no.
    """
    _check_answers(reference)
    session = open_session(model, "cpu", SessionOptions(threads))
    _check_shapes(session, contract, reference)
    probabilities = np.empty_like(reference.probabilities)
    distances: Distances = np.zeros(len(probabilities), np.float32)
    for start in _chunks(reference.heldout, "release gate"):
        crops = _decode(contract, reference.heldout, start)
        for batch_size in BATCH_SIZES if start == 0 else ():
            answers, embeddings = _run(session, crops, batch_size)
            _check_numbers(answers, contract, reference, batch_size)
            _check_embeddings(embeddings, reference, batch_size)
        chunk = slice(start, start + CHUNK)
        probabilities[chunk], embeddings = _run(session, crops, LARGEST_BATCH)
        if start == 0:
            _check_embeddings(embeddings, reference, LARGEST_BATCH)
        if reference.known_classes:
            distances[chunk] = reference.known_classes.distances(embeddings)
    _check_numbers(probabilities, contract, reference, LARGEST_BATCH)
    return Passed(_check_accuracy(probabilities, contract, reference), distances)


def measure_released(
    model: Path,
    contract: BundleContract,
    images: Images,
    known_classes: KnownClasses | None,
    options: SessionOptions,
) -> tuple[Passed, Logits]:
    """What a model at any precision makes of images that are held out or tested on, by onnxruntime, under the
    labels that passed the gate, and how far these are from the training's.

    `contract` must have passed `pass_gate`. Returns the metrics and distances, and the probabilities float32
    [n, classes]. Raises GateRefused where a probability or a distance is no number.
    """
    probabilities: Logits = np.empty((len(images), len(contract.labels)), np.float32)
    distances: Distances = np.zeros(len(images), np.float32)
    for chunk, answers, embeddings in _answers(model, images, options):
        probabilities[chunk] = answers
        if known_classes:
            distances[chunk] = known_classes.distances(embeddings)
    if not np.isfinite(distances).all():
        raise GateRefused(f"weights: {model.name} gives embeddings that are no numbers")
    return Passed(_measure_finite(model, contract, images, probabilities), distances), probabilities


def _answers(
    model: Path, images: Images, options: SessionOptions
) -> Iterator[tuple[slice, Logits, Embeddings]]:
    """Of a chunk after the other."""
    session = open_session(model, "cpu", options)
    for start in _chunks(images, f"measuring {model.name}"):
        chunk = slice(start, start + CHUNK)
        yield chunk, *_run(session, images.pixels(chunk), LARGEST_BATCH)


def _measure_finite(model: Path, contract: BundleContract, images: Images, probabilities: Logits) -> Measured:
    if not np.isfinite(probabilities).all():
        raise GateRefused(f"weights: {model.name} gives probabilities that are no numbers")
    targets = targets_of(images.samples, contract.labels)
    return STRATEGIES[contract.task].measure(probabilities, targets, contract)


def _chunks(heldout: Images, description: str) -> Iterator[int]:
    """Where each begins, which is told while it takes long."""
    starts = range(0, len(heldout), CHUNK)
    return show_progress(starts, f"{description}, by {CHUNK} images", len(starts))


def _check_shapes(session: "InferenceSession", contract: BundleContract, reference: Reference) -> None:
    shapes = {output.name: output.shape for output in session.get_outputs()}
    classes = shapes["probabilities"][-1]
    if not classes == len(contract.labels) == len(reference.labels):
        raise GateRefused(
            f"labels: the model gives {classes} probabilities, the contract has "
            f"{len(contract.labels)} labels and training had {len(reference.labels)}"
        )


def _check_answers(reference: Reference) -> None:
    """A network that answers every image alike would agree with any export of it."""
    first, others = reference.heldout.pixels(slice(0, 1)), reference.heldout.pixels(slice(1, CHUNK))
    spread = float(np.ptp(reference.probabilities, axis=0).max())
    if spread <= LEAST_SPREAD and (others != first).any():
        raise GateRefused(
            f"weights: the torch model gives each of {len(reference.probabilities)} held-out images the same "
            "probabilities; it has learned nothing that could be compared"
        )


def _decode(contract: BundleContract, heldout: Images, start: int) -> Pixels:
    """A chunk of the files, which must be the pixels that the torch model was given."""
    expected = heldout.pixels(slice(start, start + CHUNK))
    for index, sample in enumerate(heldout.samples[start : start + CHUNK]):
        crop = decode_image(sample.read(), contract.preprocess)
        if not np.array_equal(crop, expected[index]):
            raise GateRefused(
                f"preprocess: {sample} decodes to other pixels than the model was evaluated on; the "
                f"contract says {contract.preprocess}"
            )
    return expected


def _check_numbers(
    probabilities: Logits, contract: BundleContract, reference: Reference, batch_size: int
) -> None:
    """`probabilities` is of the first images, or of all."""
    expected, task = reference.probabilities[: len(probabilities)], STRATEGIES[contract.task]
    same = task.answers(probabilities, contract) == task.answers(expected, contract)
    agreement = float(same.reshape(len(same), -1).all(1).mean())
    if not agreement >= LEAST_AGREEMENT:
        raise GateRefused(
            f"weights: at batch size {batch_size} the ONNX model's {task.compared} with the torch model's on "
            f"{agreement:.2%} of {len(probabilities)} held-out images, less than {LEAST_AGREEMENT:.1%}"
        )
    off = float(np.abs(probabilities - expected).max())
    if not off <= LARGEST_DIFFERENCE:
        raise GateRefused(
            f"weights: at batch size {batch_size} a probability of the ONNX model is off by {off:.2g} from "
            f"the torch model's, more than {LARGEST_DIFFERENCE:g}"
        )


def _check_embeddings(embeddings: Embeddings, reference: Reference, batch_size: int) -> None:
    turned = float(np.linalg.norm(embeddings - reference.embeddings, axis=1).max())
    if not turned <= LARGEST_TURN:
        raise GateRefused(
            f"weights: at batch size {batch_size} an embedding of the ONNX model is off by {turned:.2g} from "
            f"the torch model's, more than {LARGEST_TURN:g}"
        )


def _run(session: "InferenceSession", crops: Pixels, batch_size: int) -> tuple[Logits, Embeddings]:
    parts = [
        session.run(["probabilities", "embedding"], {"pixels": crops[start : start + batch_size]})
        for start in range(0, len(crops), batch_size)
    ]
    probabilities, embeddings = zip(*parts, strict=True)
    return np.concatenate(probabilities), np.concatenate(embeddings)


def _check_accuracy(probabilities: Logits, contract: BundleContract, reference: Reference) -> Measured:
    """By the labels' names, as a caller gets them: an index that is right under a wrong name is wrong."""
    task, samples = STRATEGIES[contract.task], reference.heldout.samples
    answers = ((probabilities, contract.labels), (reference.probabilities, reference.labels))
    accuracy, expected = (float(task.right(each, samples, of, contract).mean()) for each, of in answers)
    if abs(accuracy - expected) > LARGEST_ACCURACY_GAP or contract.labels != reference.labels:
        raise GateRefused(
            f"labels: under the contract's labels the held-out accuracy is {accuracy:.2%}, the torch "
            f"model's {expected:.2%}; the labels' order or names differ from training's"
        )
    return task.measure(probabilities, targets_of(samples, contract.labels), contract)
