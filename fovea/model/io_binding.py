"""Buffers on a GPU that are made once for each batch size, and bound to the model's input and outputs."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from fovea.images.preprocess import Pixels
from fovea.model.sessions import ort

Probabilities = npt.NDArray[np.float32]
Answers = npt.NDArray[np.float32]
"""[n, values] of one output"""


class IoBinding:
    """Runs a session on batches of a few sizes only; others are padded to the next of them, or split.

    A GPU's first run of a shape takes seconds, in which algorithms are chosen: a few shapes, each of them
    warmed up, keep that away from callers. May be used by one thread at a time.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        side: int,
        outputs: Mapping[str, int],
        sizes: Sequence[int],
        device: Literal["cuda", "cpu"] = "cuda",
    ) -> None:
        """For pixels uint8 [n, side, side, 3]; `outputs` are names, and how many values each has."""
        self._buffers = [_Buffers(session, size, side, outputs, device) for size in sorted(set(sizes))]

    @property
    def largest(self) -> int:
        return self._buffers[-1].size

    def run(self, pixels: Pixels, outputs: Sequence[str]) -> list[Answers]:
        """uint8 [n, side, side, 3] -> of each of these outputs float32 [n, values]."""
        parts = [pixels[start : start + self.largest] for start in range(0, len(pixels), self.largest)]
        results = [self._fitting(len(part)).run(part, outputs) for part in parts]
        if len(results) == 1:
            return results[0]
        return [np.concatenate(answers) for answers in zip(*results, strict=True)]

    def _fitting(self, images: int) -> "_Buffers":
        return next(buffers for buffers in self._buffers if buffers.size >= images)


class _Buffers:
    """Input and outputs of one batch size."""

    def __init__(
        self, session: ort.InferenceSession, size: int, side: int, outputs: Mapping[str, int], device: str
    ) -> None:
        self.size = size
        self._session = session
        self._padded = np.zeros((size, side, side, 3), np.uint8)
        self._pixels = ort.OrtValue.ortvalue_from_numpy(self._padded, device, 0)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input("pixels", self._pixels)
        # All are computed in any case; they leave the device only for whoever asks for them.
        self._outputs = {
            name: self._bind_output(name, [size, values], device) for name, values in outputs.items()
        }

    def run(self, pixels: Pixels, outputs: Sequence[str]) -> list[Answers]:
        """At most `size` images; what a caller before left in the rows beyond is computed and thrown away."""
        if len(pixels) < self.size:
            self._padded[: len(pixels)] = pixels
            self._pixels.update_inplace(self._padded)
        else:
            self._pixels.update_inplace(np.ascontiguousarray(pixels))
        self._binding.synchronize_inputs()
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        return [np.array(self._outputs[name].numpy()[: len(pixels)]) for name in outputs]

    def _bind_output(self, name: str, shape: list[int], device: str) -> ort.OrtValue:
        output = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device, 0)
        self._binding.bind_ortvalue_output(name, output)
        return output
