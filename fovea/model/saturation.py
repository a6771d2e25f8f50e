"""Whether this processor's fast kernels for int8 sum products of eight bits rightly.

x86 processors without VNNI add pairs of products in sixteen bits, which saturate: 2 x 255 x 127 is no
sixteen-bit number, 2 x 255 x 64 is. onnxruntime has exact kernels for them, which are slower.
"""

import base64
from functools import cache
from typing import Final

import numpy as np

from fovea.model.bundle import Precision
from fovea.model.sessions import CPU, SessionOptions, ort, ort_options

CHANNELS: Final = 64
EXACT: Final = 200
"""What every number of the answer is where no sum saturates."""

KNOWN_ANSWER: Final = (
    "CAo6gAUKQwoMa2VybmVsX3NoYXBlEgZrZXJuZWwiD0NvbnN0YW50T2ZTaGFwZSoaCgV2YWx1ZSoOCAEQAyoBf0IFdmFsdWWg"
    "AQQKQwoMbWF0cml4X3NoYXBlEgZtYXRyaXgiD0NvbnN0YW50T2ZTaGFwZSoaCgV2YWx1ZSoOCAEQAyoBf0IFdmFsdWWgAQQK"
    "UgoGcGl4ZWxzCgNvbmUKBHplcm8KBmtlcm5lbAoDb25lCgtrZXJuZWxfemVybwoFc2NhbGUKBHplcm8SCWNvbnZvbHZlZCIL"
    "UUxpbmVhckNvbnYKGwoJY29udm9sdmVkEgVmaXJzdCIHRmxhdHRlbgoWCgZwaXhlbHMSA3JvdyIHRmxhdHRlbgpOCgNyb3cK"
    "A29uZQoEemVybwoGbWF0cml4CgNvbmUKC21hdHJpeF96ZXJvCgVzY2FsZQoEemVybxIGc2Vjb25kIg1RTGluZWFyTWF0TXVs"
    "CioKBWZpcnN0CgZzZWNvbmQSBHN1bXMiBkNvbmNhdCoLCgRheGlzGAGgAQISBHN1bXMqNAgEEAdCDGtlcm5lbF9zaGFwZUog"
    "EAAAAAAAAABAAAAAAAAAAAEAAAAAAAAAAQAAAAAAAAAqJAgCEAdCDG1hdHJpeF9zaGFwZUoQQAAAAAAAAAAQAAAAAAAAACoN"
    "EAFCA29uZUoEAACAPyoPEAFCBXNjYWxlSgTN7CFGKgsQAkIEemVyb0oBACoSEANCC2tlcm5lbF96ZXJvSgEAKhIQA0ILbWF0"
    "cml4X3plcm9KAQBaIAoGcGl4ZWxzEhYKFAgCEhAKAggBCgIIQAoCCAEKAggBYhYKBHN1bXMSDgoMCAISCAoCCAEKAgggQgQK"
    "ABAU"
)
"""An ONNX model of a convolution and a matrix product, whose weights are the largest, 127: pixels uint8
[1, 64, 1, 1] -> sums uint8 [1, 32]. tests/fovea/model/test_saturation.py builds it."""


def needs_exact_sums(precision: Precision) -> bool:
    """Whether a model of this precision has to be opened with `SessionOptions.exact_sums` here."""
    return precision == "int8-full" and saturates()


@cache
def saturates() -> bool:
    """Runs a model of which the answer is known, once for this process."""
    return not sums_are_exact(SessionOptions(threads=1))


def sums_are_exact(options: SessionOptions) -> bool:
    """Whether a session of these options, on the CPU, gives the known answer."""
    model = base64.b64decode(KNOWN_ANSWER)
    session = ort.InferenceSession(model, ort_options(options), providers=[CPU])
    (sums,) = session.run(None, {"pixels": np.full((1, CHANNELS, 1, 1), 255, np.uint8)})
    return bool((sums == EXACT).all())
