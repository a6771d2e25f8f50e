"""One model's folder of versions, local or in a bucket: `models/pets/1`, `models/pets/2`, ...

A publisher claims its number put-if-absent before it writes any other file, and writes bundle.json last: a
number is never used twice, and a version that is half there is not a version.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from fovea.bundle import CONTRACT_FILE, BundleContract, ModelBundle, contract_json, parse_contract
from fovea.errors import BundleInvalid, Unavailable
from fovea.storage import Folder, LocalFolder, open_folder

CLAIM_FILE = "claim.json"


def published(models: Folder) -> list[int]:
    """The numbers of the versions that are whole, ascending."""
    return [number for number in _numbers(models) if models.exists(f"{number}/{CONTRACT_FILE}")]


def fetch(models_uri: str, version: int | None = None, cache: Path | None = None) -> ModelBundle:
    """Opens a version, by default the latest, with every file verified.

    A bucket's version is downloaded once into `cache` (default: fovea under the user's cache folder).
    Raises BundleInvalid when there is no such version or it is damaged, Unavailable when it cannot be read.
    """
    models = open_folder(models_uri)
    number = _choose(models, version)
    if isinstance(models, LocalFolder):
        bundle = ModelBundle.open(models.path / str(number))
    else:
        bundle = _download(models.folder(str(number)), (cache or default_cache()) / "models", str(number))
    if bundle.contract.version != number:
        stated = bundle.contract.version
        raise BundleInvalid(f"{models.uri}/{number}: its {CONTRACT_FILE} says that it is version {stated}")
    return bundle


def open_bundle(uri: str, cache: Path | None = None) -> ModelBundle:
    """Opens a bundle by its own URI (`models/pets/3`), or the latest version of a model's (`models/pets`).

    `cache` and what is raised are as with `fetch`.
    """
    folder = open_folder(uri)
    if not folder.exists(CONTRACT_FILE):
        return fetch(uri, cache=cache)
    if isinstance(folder, LocalFolder):
        return ModelBundle.open(folder.path)
    return _download(folder, (cache or default_cache()) / "models", folder.name)


def publish(staged: ModelBundle, models_uri: str) -> ModelBundle:
    """Copies a staged bundle to the next free number under `models_uri`; returns it with name and number.

    The returned bundle's `path` is the staged one's unless `models_uri` is local. Raises Unavailable.
    """
    models = open_folder(models_uri)
    number = _claim(models)
    target = models.folder(str(number))
    contract = staged.contract.model_copy(update={"name": models.name, "version": number})
    for name in contract.files:
        target.write(name, (staged.path / name).read_bytes())
    target.write(CONTRACT_FILE, contract_json(contract))
    path = target.path if isinstance(target, LocalFolder) else staged.path
    return ModelBundle(path, contract)


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/fovea`, by default `~/.cache/fovea`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fovea"


def _numbers(models: Folder) -> list[int]:
    return sorted(int(name) for name in models.children() if re.fullmatch("[1-9][0-9]*", name))


def _choose(models: Folder, version: int | None) -> int:
    available = published(models)
    if version is not None and version not in available:
        known = ", ".join(map(str, available)) or "none"
        raise BundleInvalid(f"{models.uri}: there is no version {version} (there are: {known})")
    if not available:
        raise BundleInvalid(
            f"{models.uri}: no model is published here (versions are folders 1, 2, ... with {CONTRACT_FILE})"
        )
    return version if version is not None else available[-1]


def _claim(models: Folder) -> int:
    claim = {"host": socket.gethostname(), "pid": os.getpid(), "created": datetime.now(UTC).isoformat()}
    number = max(_numbers(models), default=0) + 1
    while not models.put_if_absent(f"{number}/{CLAIM_FILE}", json.dumps(claim).encode()):
        number += 1
    return number


def _download(source: Folder, cache: Path, name: str) -> ModelBundle:
    """The cache holds a version under the digest of its contract, so two models never mix."""
    data = source.read(CONTRACT_FILE)
    contract = parse_contract(data, f"{source.uri}/{CONTRACT_FILE}")
    target = cache / f"{name}-{hashlib.sha256(data).hexdigest()[:32]}"
    if target.is_dir():
        try:
            return ModelBundle.open(target)
        except BundleInvalid:
            shutil.rmtree(target, ignore_errors=True)  # a damaged copy: fetch it again
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".partial-") as partial:
            _copy(source, contract, data, LocalFolder(Path(partial) / "bundle"))
            _move(Path(partial) / "bundle", target)
    except OSError as error:
        raise Unavailable(f"{cache}: the model cache cannot be written: {error.strerror}") from error
    return ModelBundle(target, contract)


def _copy(source: Folder, contract: BundleContract, contract_data: bytes, target: LocalFolder) -> None:
    for name, digest in contract.files.items():
        data = source.read(name)
        if hashlib.sha256(data).hexdigest() != digest:
            raise BundleInvalid(f"{source.uri}/{name}: changed since it was released (its sha256 is another)")
        target.write(name, data)
    target.write(CONTRACT_FILE, contract_data)


def _move(partial: Path, target: Path) -> None:
    try:
        partial.rename(target)
    except OSError:
        # Somebody else put the same version there meanwhile, which is as good.
        if not (target / CONTRACT_FILE).is_file():
            raise
