"""What Triton's python backend runs: encoded images in, probabilities out, by the bundle that lies beside.

`python -m server.triton` puts this file into each version's folder. It needs what `fovea` needs, and
onnxruntime, in the Python that Triton runs; `triton_python_backend_utils` is Triton's own.
"""

import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from fovea.cpus import available_cpus
from fovea.errors import FoveaError, ImageInvalid
from fovea.images.preprocess import Pixels, decode_image
from fovea.logs import silence_decoders
from fovea.model.bundle import EMBEDDING, ModelBundle
from fovea.model.classifier import Classifier, SessionOptions
from fovea.model.task import selected
from fovea.truth.sets import draws, label_sets

Rows = npt.NDArray[np.float32]
"""[n, values]"""


class TritonPythonModel:
    """One process with the model. Triton starts `instances` of them, and gives each a batch at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model, makes the golden check and runs every batch size once.

        Raises TritonModelException with the reason, on which Triton does not make the version ready.
        """
        config = json.loads(args["model_config"])
        options = {key: value["string_value"] for key, value in config["parameters"].items()}
        instances = int(config["instance_group"][0]["count"])
        threads = max(1, available_cpus() // instances)
        sizes = _batch_sizes(int(config["max_batch_size"]))
        silence_decoders()
        try:
            bundle = ModelBundle.open(Path(args["model_repository"], args["model_version"]))
            self._classifier = Classifier(
                bundle,
                options["provider"],
                precision=options["precision"],
                options=SessionOptions(threads),
                batch_sizes=sizes,
            )
        except FoveaError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self._decode = partial(
            decode_image,
            spec=bundle.contract.preprocess,
            max_bytes=int(options["max_image_bytes"]),
            max_pixels=int(options["max_image_pixels"]),
        )
        self._novelty, self._known_classes = bundle.contract.out_of_distribution, bundle.known_classes()
        self._sets = bundle.contract.sets_of(self._classifier.precision)
        self._thresholds = bundle.contract.thresholds
        self._labels = np.array([label.encode() for label in self._classifier.labels], dtype=np.object_)
        self._decoders = ThreadPoolExecutor(threads, "decode")
        _warm_up(self._classifier, sizes)
        pb_utils.Logger.log_info(
            f"{args['model_instance_name']}: version {bundle.contract.version} gives its golden answers on "
            f"{self._classifier.provider}, {self._classifier.precision}, {threads} threads"
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """A response to each request: `probabilities` and `logits` [n, classes], `label` [n, 1], and what
        else it names, see `_details`.

        A bad image is an error of its own request; the images of all others are computed together.
        """
        asked = [_Asked(request, self._start_decoding(request)) for request in requests]
        decoded = [each.crops() for each in asked]
        good = [crops for crops in decoded if not isinstance(crops, pb_utils.TritonError)]
        if not good:
            return [pb_utils.InferenceResponse(error=error) for error in decoded]
        answers = self._answers(np.concatenate(good), requests)
        responses, row = [], 0
        for request, crops in zip(requests, decoded, strict=True):
            if isinstance(crops, pb_utils.TritonError):
                responses.append(pb_utils.InferenceResponse(error=crops))
            else:
                own = {name: rows[row : row + len(crops)] for name, rows in answers.items()}
                responses.append(self._response(own, crops, request.requested_output_names()))
                row += len(crops)
        return responses

    def _answers(self, pixels: Pixels, requests: Sequence[Any]) -> dict[str, Rows]:
        """The model's outputs, as far as any of the requests needs them."""
        names = ["probabilities", "logits"]
        asked = {name for request in requests for name in request.requested_output_names()}
        if asked & {"distance", "unknown", EMBEDDING}:
            names.append(EMBEDDING)
        return dict(zip(names, self._classifier.answers(pixels, names), strict=True))

    def finalize(self) -> None:
        """Is called when the version is unloaded."""
        self._decoders.shutdown(cancel_futures=True)

    def _start_decoding(self, request: Any) -> list[Future[Pixels]]:
        if request.is_cancelled():
            return []
        images = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
        return [self._decoders.submit(self._decode, bytes(image)) for image in images[:, 0]]

    def _response(self, answers: dict[str, Rows], crops: Pixels, asked: Sequence[str]) -> Any:
        """`answers` [n, values] of the request's images, whose `crops` are uint8 [n, S, S, 3]."""
        labels = self._labels[answers["probabilities"].argmax(axis=1)].reshape(-1, 1)
        tensors = {**answers, "label": labels, **self._details(answers, crops, asked)}
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, np.ascontiguousarray(rows))
                for name, rows in tensors.items()
                if name in asked
            ]
        )

    def _details(self, answers: dict[str, Rows], crops: Pixels, asked: Sequence[str]) -> dict[str, Any]:
        """`selected` bool [n, classes], `distance` float32 and `unknown` bool [n, 1], `label_set` bool
        [n, classes]: Triton asks for all outputs where its caller names none."""
        details: dict[str, Any] = {}
        if self._thresholds is not None and "selected" in asked:
            details["selected"] = selected(answers["probabilities"], self._thresholds)
        if (
            self._known_classes is not None
            and self._novelty is not None
            and {"distance", "unknown"} & {*asked}
        ):
            distances = self._known_classes.distances(answers[EMBEDDING]).reshape(-1, 1)
            unknown = np.array(
                [[self._novelty.is_unknown(distance)] for distance in distances[:, 0].tolist()]
            )
            details |= {"distance": distances, "unknown": unknown}
        if self._sets is not None and "label_set" in asked:
            details["label_set"] = np.zeros(answers["probabilities"].shape, np.bool_)
            chosen = label_sets(answers["probabilities"], draws(crops), self._sets.quantile)
            for row, indexes in zip(details["label_set"], chosen, strict=True):
                row[indexes] = True
        return details


class _Asked(NamedTuple):
    """A request, and its images on their way."""

    request: Any
    images: list[Future[Pixels]]

    def crops(self) -> Any:
        """uint8 [n, S, S, 3], or a TritonError."""
        crops = []
        for index, image in enumerate(self.images):
            try:
                crops.append(image.result())
            except ImageInvalid as error:
                return pb_utils.TritonError(f"image {index}: {error}", pb_utils.TritonError.INVALID_ARG)
        if self.request.is_cancelled():
            return pb_utils.TritonError("the caller cancelled the request", pb_utils.TritonError.CANCELLED)
        return np.stack(crops)


def _batch_sizes(largest: int) -> list[int]:
    """1, 2, 4, ... and the largest itself."""
    return sorted({min(2**power, largest) for power in range(largest.bit_length() + 1)})


def _warm_up(classifier: Classifier, sizes: Sequence[int]) -> None:
    crops = classifier.bundle.golden().crops
    for size in sizes:
        classifier.classify_with_logits(np.resize(crops, (size, *crops.shape[1:])))
