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
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from fovea.errors import BundleInvalid, DataInvalid
from fovea.model.bundle import CONTRACT_FILE, MODEL_FILE, ModelBundle, contract_json, file_digest
from fovea.stores.storage import LocalFolder
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
    models = [_image_model(bundle, settings)]
    if settings.with_onnx:
        models.append(_pixels_model(bundle, settings))
    for model in models:
        _refuse_another(settings.repository / model.name)
    changed = [_write(settings.repository, model) for model in models]
    return any(changed)


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
    for name in (bundle.contract.name, _pixels_name(bundle)):
        folder = settings.repository / name
        if not _config_is_ours(folder):
            continue
        older = [number for number in _versions(folder) if number < bundle.contract.version]
        for number in older[:-1]:
            shutil.rmtree(folder / str(number), ignore_errors=True)


@dataclass(frozen=True)
class _Model:
    """A model of the repository, as one version of the bundle makes it."""

    name: str
    version: int
    files: Mapping[str, bytes | Path]
    """What they hold, or where that is, in the order in which they are written; the labels first."""
    config: str


def _image_model(bundle: ModelBundle, settings: TritonSettings) -> _Model:
    contract = bundle.contract
    files: dict[str, bytes | Path] = {LABELS_FILE: labels_text(bundle).encode(), PROGRAM_FILE: _program()}
    files |= {name: bundle.path / name for name in contract.files}
    files[CONTRACT_FILE] = contract_json(contract)
    return _Model(contract.name, contract.version, files, image_config(contract.name, contract, settings))


def _pixels_model(bundle: ModelBundle, settings: TritonSettings) -> _Model:
    name, contract, labels = _pixels_name(bundle), bundle.contract, labels_text(bundle).encode()
    files: dict[str, bytes | Path] = {LABELS_FILE: labels, MODEL_FILE: bundle.file_of(settings.precision)}
    return _Model(name, contract.version, files, pixels_config(name, contract, settings))


def _pixels_name(bundle: ModelBundle) -> str:
    return f"{bundle.contract.name}_onnx"


def _write(repository: Path, model: _Model) -> bool:
    """The version's folder first, which nobody looks at before config.pbtxt names it."""
    folder = LocalFolder(repository / model.name)
    version = folder.folder(str(model.version))
    changed = [_bring(version, name, source) for name, source in model.files.items()]
    changed.append(_bring(folder, CONFIG_FILE, model.config.encode()))
    return any(changed)


def _refuse_another(folder: Path) -> None:
    config = folder / CONFIG_FILE
    if config.exists():
        what, is_ours = config, _config_is_ours(folder)
    else:
        what, is_ours = folder, all(_is_begun(folder / str(number)) for number in _versions(folder))
    if not is_ours:
        raise DataInvalid(
            f"{what}: was not written by {PROGRAM}, which would write over it; choose another --repository"
        )


def _config_is_ours(folder: Path) -> bool:
    place = LocalFolder(folder)
    return place.exists(CONFIG_FILE) and place.read(CONFIG_FILE).startswith(FIRST_LINE.encode())


def _is_begun(version: Path) -> bool:
    """By us, who were cut short before config.pbtxt. (Triton serves many a model of others without one.)"""
    keys = {entry.key for entry in LocalFolder(version).entries()}
    return LABELS_FILE in keys or not keys


def _versions(folder: Path) -> list[int]:
    return sorted(int(child) for child in LocalFolder(folder).children() if child.isdecimal())


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
