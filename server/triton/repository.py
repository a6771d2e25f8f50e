"""A bundle as a version in Triton's model repository.

REPOSITORY/pets/config.pbtxt      names the version that Triton serves; written last
REPOSITORY/pets/3/model.py        the python backend's program
REPOSITORY/pets/3/labels.txt      for `classification`
REPOSITORY/pets/3/...             the bundle's own files
REPOSITORY/pets_onnx/...          config.pbtxt and 3/{model.onnx,labels.txt}, where asked for
"""

import hashlib
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from fovea.bundle import CONTRACT_FILE, MODEL_FILE, ModelBundle, contract_json, file_digest
from fovea.errors import BundleInvalid, DataInvalid
from fovea.storage import LocalFolder
from server.triton.config import PROGRAM, TritonSettings
from server.triton.model_config import (
    CONFIG_FILE,
    FIRST_LINE,
    LABELS_FILE,
    image_config,
    pixels_config,
)

PROGRAM_FILE = "model.py"


def lay_out(bundle: ModelBundle, settings: TritonSettings) -> bool:
    """Has Triton serve this version. Writes only what is not right yet; False when all was.

    Raises DataInvalid for a model in the way that is somebody else's, BundleInvalid for labels that cannot
    be written a line each, Unavailable for a folder that cannot be written.
    """
    contract, labels = bundle.contract, labels_text(bundle).encode()
    version: dict[str, bytes | Path] = {name: bundle.path / name for name in contract.files}
    version |= {PROGRAM_FILE: _program(), LABELS_FILE: labels, CONTRACT_FILE: contract_json(contract)}
    name = contract.name
    config = image_config(name, contract, settings)
    changed = _write(settings.repository / name, contract.version, version, config)
    if settings.with_onnx:
        name = f"{name}_onnx"
        config = pixels_config(name, contract, settings)
        model: dict[str, bytes | Path] = {MODEL_FILE: bundle.file_of(settings.precision), LABELS_FILE: labels}
        changed |= _write(settings.repository / name, contract.version, model, config)
    return changed


def labels_text(bundle: ModelBundle) -> str:
    """Raises BundleInvalid for a label that is not one line."""
    for label in bundle.contract.labels:
        if len(label.splitlines()) != 1:
            raise BundleInvalid(
                f"{bundle.path}: the label {label!r} is not one line of text, and Triton reads a label a line"
            )
    return "".join(f"{label}\n" for label in bundle.contract.labels)


def drop_older(bundle: ModelBundle, settings: TritonSettings) -> None:
    """Removes the versions before the one before this one.

    That one stays: until the new one is ready Triton serves it, and may have to start its processes again.
    """
    for name in (bundle.contract.name, f"{bundle.contract.name}_onnx"):
        folder = settings.repository / name
        numbers = sorted(int(child) for child in LocalFolder(folder).children() if child.isdecimal())
        for number in [number for number in numbers if number < bundle.contract.version][:-1]:
            shutil.rmtree(folder / str(number), ignore_errors=True)


def _write(folder: Path, version: int, files: Mapping[str, bytes | Path], config: str) -> bool:
    """The version's folder first, which nobody looks at before config.pbtxt names it."""
    _refuse_another(folder)
    changed = [_bring(LocalFolder(folder / str(version)), name, source) for name, source in files.items()]
    changed.append(_bring(LocalFolder(folder), CONFIG_FILE, config.encode()))
    return any(changed)


def _refuse_another(folder: Path) -> None:
    config = folder / CONFIG_FILE
    if config.exists() and not config.read_bytes().startswith(FIRST_LINE.encode()):
        raise DataInvalid(
            f"{config}: was not written by {PROGRAM}, which would write over it; choose another --repository"
        )


def _bring(folder: LocalFolder, name: str, source: bytes | Path) -> bool:
    """Writes the file, whole or not at all, unless it is the same already: Triton would load it again."""
    target = folder.path / name
    if target.is_file() and file_digest(target) == _digest(source):
        return False
    folder.write(name, source if isinstance(source, bytes) else source.read_bytes())
    return True


def _digest(source: bytes | Path) -> str:
    return hashlib.sha256(source).hexdigest() if isinstance(source, bytes) else file_digest(source)


def _program() -> bytes:
    return resources.files("server.triton").joinpath(PROGRAM_FILE).read_bytes()
