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
import triton_python_backend_utils as pb_utils

from fovea.cpus import available_cpus
from fovea.errors import FoveaError, ImageInvalid
from fovea.images.preprocess import Pixels, decode_image
from fovea.logs import silence_decoders
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier, SessionOptions


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
        self._labels = np.array([label.encode() for label in self._classifier.labels], dtype=np.object_)
        self._decoders = ThreadPoolExecutor(threads, "decode")
        _warm_up(self._classifier, sizes)
        pb_utils.Logger.log_info(
            f"{args['model_instance_name']}: version {bundle.contract.version} gives its golden answers on "
            f"{self._classifier.provider}, {self._classifier.precision}, {threads} threads"
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """A response to each request: `probabilities` and `logits` [n, classes], `label` [n, 1].

        A bad image is an error of its own request; the images of all others are computed together.
        """
        asked = [_Asked(request, self._start_decoding(request)) for request in requests]
        decoded = [each.crops() for each in asked]
        good = [crops for crops in decoded if not isinstance(crops, pb_utils.TritonError)]
        if not good:
            return [pb_utils.InferenceResponse(error=error) for error in decoded]
        answers = self._classifier.classify_with_logits(np.concatenate(good))
        responses, row = [], 0
        for crops in decoded:
            if isinstance(crops, pb_utils.TritonError):
                responses.append(pb_utils.InferenceResponse(error=crops))
            else:
                responses.append(self._response(answers[row : row + len(crops)]))
                row += len(crops)
        return responses

    def finalize(self) -> None:
        """Is called when the version is unloaded."""
        self._decoders.shutdown(cancel_futures=True)

    def _start_decoding(self, request: Any) -> list[Future[Pixels]]:
        if request.is_cancelled():
            return []
        images = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
        return [self._decoders.submit(self._decode, bytes(image)) for image in images[:, 0]]

    def _response(self, answers: "np.ndarray[Any, np.dtype[np.float32]]") -> Any:
        """`answers` [n, 2, classes]: probabilities, then logits."""
        probabilities, logits = (np.ascontiguousarray(answers[:, which]) for which in (0, 1))
        labels = self._labels[probabilities.argmax(axis=1)].reshape(-1, 1)
        tensors = {"probabilities": probabilities, "logits": logits, "label": labels}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, rows) for name, rows in tensors.items()])


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
