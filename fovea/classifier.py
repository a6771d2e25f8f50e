"""An onnxruntime session over a model bundle: uint8 crops in, probabilities out."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

# onnxruntime reports its use to its makers unless it is told not to before it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from fovea.bundle import METADATA_KEY, ModelBundle, Precision
from fovea.cpus import available_cpus
from fovea.errors import BundleInvalid, InvalidImage, SettingsInvalid, Unavailable
from fovea.preprocess import Pixels, decode_image

logger = logging.getLogger(__name__)

Probabilities = npt.NDArray[np.float32]

Provider = Literal["auto", "cuda", "cpu"]
GOLDEN_TOLERANCES: Final[dict[Precision, float]] = {"fp32": 1e-3, "fp16": 2e-2, "int8": 5e-2}
"""Largest difference of a probability from the golden one of the same precision."""

_EXECUTION_PROVIDERS: Final = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}


class Classifier:
    """A model that was seen to give its golden answers on this machine and provider.

    `classify` may be called from several threads at once: onnxruntime releases the interpreter lock.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        provider: Provider = "auto",
        threads: int | None = None,
        precision: Precision = "fp32",
    ) -> None:
        """Loads the model and makes the golden check.

        `threads` are onnxruntime's intra-op threads; by default, the cores that this process may use.
        Raises BundleInvalid when the bundle has no such precision or the model is not what its contract
        says, Unavailable when the provider does not come up (a provider that is asked for by name is never
        replaced by another).
        """
        self.bundle = bundle
        self.precision: Precision = precision
        model = bundle.file_of(precision)
        self._session = open_session(model, provider, available_cpus() if threads is None else threads)
        self.provider: str = self._session.get_providers()[0]
        _check_contract(bundle, model, self._session)
        _check_golden(self)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.bundle.contract.labels

    def classify(self, pixels: Pixels) -> Probabilities:
        """pixels uint8 [n, S, S, 3] RGB, n >= 1 -> probabilities float32 [n, classes]; each row sums to 1.

        Raises ValueError for another shape or dtype.
        """
        side = self.bundle.contract.preprocess.size
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3):
            raise ValueError(
                f"pixels must be uint8 [n, {side}, {side}, 3], not {pixels.dtype} {pixels.shape}"
            )
        (probabilities,) = self._session.run(["probabilities"], {"pixels": pixels})
        return np.asarray(probabilities, dtype=np.float32)

    def warm_up(self, batch_sizes: Sequence[int]) -> None:
        """Runs each batch size once, so that no caller pays for a first shape."""
        side = self.bundle.contract.preprocess.size
        for size in batch_sizes:
            self.classify(np.zeros((size, side, side, 3), np.uint8))


def top_k(probabilities: Probabilities, k: int) -> tuple[npt.NDArray[np.int64], Probabilities]:
    """The k best classes of each row: indices and probabilities, [n, k], best first; ties by lower index."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(probabilities, order, axis=1)


def open_session(model: Path, provider: Provider, threads: int | None = None) -> ort.InferenceSession:
    """An onnxruntime session, the same for whoever runs a model: gate, server and scorer.

    Raises Unavailable when the provider does not come up, BundleInvalid when the file is no ONNX model.
    """
    threads = available_cpus() if threads is None else threads
    if threads < 1:
        raise SettingsInvalid(f"threads must be at least 1, not {threads}")
    if provider != "auto":
        return _open_on(model, _EXECUTION_PROVIDERS[provider], threads)
    if "CUDAExecutionProvider" in ort.get_available_providers():
        try:
            return _open_on(model, "CUDAExecutionProvider", threads)
        except Unavailable as error:
            logger.warning("%s; provider auto takes the CPU", error)
    return _open_on(model, "CPUExecutionProvider", threads)


def _open_on(model: Path, provider: str, threads: int) -> ort.InferenceSession:
    available = ort.get_available_providers()
    if provider not in available:
        raise Unavailable(
            f"this onnxruntime has no {provider} (it has {', '.join(available)}); "
            "CUDA comes with the extra fovea[serve-gpu]"
        )
    if provider == "CUDAExecutionProvider":
        ort.preload_dlls()
    try:
        session = ort.InferenceSession(model, _options(threads), providers=[provider])
    except Exception as error:  # onnxruntime's own types are not public
        reason = str(error).splitlines()[0]
        raise BundleInvalid(f"{model}: onnxruntime cannot load it: {reason}") from error
    if session.get_providers()[0] != provider:
        taken = session.get_providers()[0]
        raise Unavailable(f"{provider} did not come up (onnxruntime fell back to {taken})")
    return session


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Spinning threads would starve the image decoders that share these cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _check_contract(bundle: ModelBundle, model: Path, session: ort.InferenceSession) -> None:
    embedded = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if embedded is None:
        raise BundleInvalid(f"{model}: carries no contract (metadata {METADATA_KEY!r})")
    if embedded != bundle.contract.embedded():
        raise BundleInvalid(f"{bundle.path}: bundle.json and the contract inside {model.name} differ")


def _check_golden(classifier: Classifier) -> None:
    bundle = classifier.bundle
    golden = bundle.golden()
    for index, data in enumerate(golden.files):
        try:
            crop = decode_image(data, bundle.contract.preprocess)
        except InvalidImage as error:
            raise BundleInvalid(f"{bundle.path}: golden image {index}: {error}") from error
        if not np.array_equal(crop, golden.crops[index]):
            raise BundleInvalid(
                f"{bundle.path}: golden image {index} does not decode to the pixels that the model was "
                "released with; the image libraries or the preprocessing differ"
            )
    expected = bundle.golden_probabilities(classifier.precision)
    off = float(np.abs(classifier.classify(golden.crops) - expected).max())
    tolerance = GOLDEN_TOLERANCES[classifier.precision]
    if not off <= tolerance:
        raise BundleInvalid(
            f"{bundle.path}: golden check failed: probabilities are off by {off:.2g}, more than "
            f"{tolerance:g}, on {classifier.provider}"
        )
