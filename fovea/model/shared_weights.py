"""A model as onnxruntime has optimised it, beside a file of its weights that every session maps.

A session of an ordinary model has weights of its own, in memory that no other process shares. One of this
form has the pages of one file, whichever process it is in, and need not optimise anything; it computes the
same, to the bit. The form holds for this machine and this onnxruntime, and nobody checks it when it is
loaded: it is for those alone who write it themselves.
"""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from fovea.errors import Unavailable
from fovea.model.external_data import without_weights
from fovea.model.sessions import CPU, SessionOptions, open_session, ort, ort_options

MODEL: Final = "model.onnx"
WEIGHTS: Final = "weights.bin"
SMALLEST_BYTES: Final = 1024
"""Of a weight that is put into the file; smaller ones stay in the graph."""


def share(model: Path, folder: Path, *, exact_sums: bool = False) -> Path:
    """Writes the form of `model`, for sessions on a CPU, to a new `folder`, whole or not at all.

    `exact_sums` are as in `SessionOptions`, and part of the form.
    Returns its ONNX file, to be opened with `SessionOptions(is_optimized=True)`. Raises BundleInvalid when
    the file is no ONNX model, Unavailable when it cannot be written.
    """
    try:
        draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise Unavailable(f"{folder.parent}: cannot be written to: {error.strerror}") from error
    try:
        _optimize(model, draft, SessionOptions(threads=1, exact_sums=exact_sums))
        draft.rename(folder)
    except OSError as error:
        raise Unavailable(f"{folder}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(draft)
    return folder / MODEL


def _optimize(model: Path, folder: Path, chosen: SessionOptions) -> None:
    options = ort_options(chosen)
    options.optimized_model_filepath = str(folder / MODEL)
    for name, value in (
        ("session.optimized_model_external_initializers_file_name", WEIGHTS),
        ("session.optimized_model_external_initializers_min_size_in_bytes", str(SMALLEST_BYTES)),
        # Weights as the processor's kernels want them: else each session would make copies of its own.
        ("session.save_external_prepacked_constant_initializers", "1"),
    ):
        options.add_session_config_entry(name, value)
    try:
        ort.InferenceSession(_with_mapped_weights(model, options), options, providers=[CPU])
    except Exception as error:  # onnxruntime's own types are not public
        open_session(model, "cpu", chosen)  # which says so where it is the model's fault
        reason = str(error).splitlines()[0]
        raise Unavailable(f"{folder}: onnxruntime cannot write the optimised model: {reason}") from error


def _with_mapped_weights(model: Path, options: ort.SessionOptions) -> bytes | Path:
    """What a session reads in place of the file, whose weights it would copy twice."""
    try:
        graph = without_weights(model, SMALLEST_BYTES)
    except (OSError, ValueError):
        return model  # onnxruntime says what is wrong with it
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(model.parent.absolute())
    )
    return graph
