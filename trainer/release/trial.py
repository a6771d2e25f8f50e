"""Whether onnxruntime survives a model: it is opened and run once by a process of its own.

    python -m trainer.release.trial MODEL

onnxruntime 1.32.0 ends with a segmentation fault as it optimises some networks in float16 for a CPU, vision
transformers among them, which are valid and run where less is optimised. That must not end a training.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np

from fovea import exits
from fovea.errors import GateRefused
from fovea.model.sessions import SessionOptions, open_session

LONGEST_S: Final = 600
"""A large network on a busy machine takes seconds."""


def survive(model: Path, exact_sums: bool) -> None:
    """Raises GateRefused where a process that opens the model crashes, or hangs.

    What else is wrong with it is told by whoever opens it next.
    """
    command = [sys.executable, "-m", "trainer.release.trial", str(model), *(["exact"] if exact_sums else [])]
    try:
        ended = subprocess.run(  # noqa: S603 - it is this program
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST_S
        )
    except subprocess.TimeoutExpired:
        raise GateRefused(f"onnxruntime does not open it within {LONGEST_S} s") from None
    if ended.returncode < 0:
        raise GateRefused(f"onnxruntime crashes as it opens it (signal {-ended.returncode})")


def main() -> None:
    model, *exact = sys.argv[1:]
    session = open_session(Path(model), "cpu", SessionOptions(1, exact_sums=bool(exact)))
    (pixels,) = session.get_inputs()
    session.run(None, {pixels.name: np.zeros((1, *pixels.shape[1:]), np.uint8)})


if __name__ == "__main__":
    exits.run(main)
