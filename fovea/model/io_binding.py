"""Buffers on a GPU that are made once for each batch size, and bound to the model's input and output."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from fovea.images.preprocess import Pixels
from fovea.model.sessions import ort

Probabilities = npt.NDArray[np.float32]


class IoBinding:
    """Runs a session on batches of a few sizes only; others are padded to the next of them, or split.

    A GPU's first run of a shape takes seconds, in which algorithms are chosen: a few shapes, each of them
    warmed up, keep that away from callers. May be used by one thread at a time.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        side: int,
        classes: int,
        sizes: Sequence[int],
        device: Literal["cuda", "cpu"] = "cuda",
    ) -> None:
        """For pixels uint8 [n, side, side, 3] -> probabilities and logits, each float32 [n, classes]."""
        self._buffers = [_Buffers(session, size, side, classes, device) for size in sorted(set(sizes))]

    @property
    def largest(self) -> int:
        return self._buffers[-1].size

    def run(self, pixels: Pixels, *, with_logits: bool = False) -> Probabilities:
        """uint8 [n, side, side, 3] -> float32 [n, classes], or [n, 2, classes] with the logits second."""
        parts = [pixels[start : start + self.largest] for start in range(0, len(pixels), self.largest)]
        results = [self._fitting(len(part)).run(part, with_logits) for part in parts]
        return results[0] if len(results) == 1 else np.concatenate(results)

    def _fitting(self, images: int) -> "_Buffers":
        return next(buffers for buffers in self._buffers if buffers.size >= images)


class _Buffers:
    """Input and output of one batch size."""

    def __init__(
        self, session: ort.InferenceSession, size: int, side: int, classes: int, device: str
    ) -> None:
        self.size = size
        self._session = session
        self._padded = np.zeros((size, side, side, 3), np.uint8)
        self._pixels = ort.OrtValue.ortvalue_from_numpy(self._padded, device, 0)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input("pixels", self._pixels)
        # The logits are computed in any case; they leave the device only for whoever asks for them.
        self._probabilities, self._logits = (
            self._bind_output(name, [size, classes], device) for name in ("probabilities", "logits")
        )

    def run(self, pixels: Pixels, with_logits: bool) -> Probabilities:
        """At most `size` images; what a caller before left in the rows beyond is computed and thrown away."""
        if len(pixels) < self.size:
            self._padded[: len(pixels)] = pixels
            self._pixels.update_inplace(self._padded)
        else:
            self._pixels.update_inplace(np.ascontiguousarray(pixels))
        self._binding.synchronize_inputs()
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        probabilities = self._probabilities.numpy()[: len(pixels)]
        if with_logits:
            return np.stack((probabilities, self._logits.numpy()[: len(pixels)]), axis=1)
        return np.array(probabilities)

    def _bind_output(self, name: str, shape: list[int], device: str) -> ort.OrtValue:
        output = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device, 0)
        self._binding.bind_ortvalue_output(name, output)
        return output
