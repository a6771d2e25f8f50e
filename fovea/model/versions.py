"""One model's folder of versions, local or in a bucket: `models/pets/1`, `models/pets/2`, ...

A publisher claims its number put-if-absent before it writes any other file, and writes bundle.json last: a
number is never used twice, and a version that is half there is not a version. The latest version is the
highest, or, where `promotions` has a record, the one that it names: `look` is whom to ask.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

from fovea.errors import BundleInvalid, Unavailable
from fovea.model import promotions, rollouts
from fovea.model.bundle import CONTRACT_FILE, BundleContract, ModelBundle, contract_json, parse_contract
from fovea.model.promotions import Overtaken, Standing, move, promotion_of
from fovea.stores.storage import Folder, LocalFolder, is_bucket, open_folder, open_reachable

CLAIM_FILE = "claim.json"
CANDIDATES = "candidates"
"""Beside the versions: bundles that did not become one, each in a folder whose name is no number."""


@dataclass(frozen=True)
class Listed:
    """What a look at a models folder saw, in one request; two where somebody has moved `latest`."""

    numbers: tuple[int, ...]
    """of all versions, ascending, whole or not"""
    order: tuple[int, ...]
    """the latest, and what takes its place where it is not whole or bad, and so on; whole or not"""
    standing: Standing
    has_rollouts: bool = False
    """somebody has begun one: `rollouts` knows more"""

    def before(self, current: int) -> tuple[int, ...]:
        """Those that are to be served rather than this one; 0 is none.

        One that was rolled back is none of `order`. Without a record nothing is, and what is gone is gone.
        """
        if self.standing.promotion is None:
            return tuple(number for number in self.order if number > current)
        return self.order[: self.order.index(current)] if current in self.order else self.order


def look(models: Folder, current: int = 0, known: Standing | None = None) -> Listed:
    """THE answer to which version is the latest. A `known` record is not read again.

    `current` is a version that was there: raises Unavailable where there is none at all any longer.
    Raises BundleInvalid for a damaged record.
    """
    children = models.children()
    numbers = _numbers(children)
    if current and not numbers:
        gone = f"version {current} was here, and now there is none; was the folder deleted or unmounted?"
        raise Unavailable(f"{models.uri}: {gone}")
    held = promotions.standing(models, known) if promotions.FOLDER in children else Standing(0, None)
    promoted = held.promotion
    order = (promoted.version, *promoted.earlier) if promoted else tuple(reversed(numbers))
    return Listed(numbers, order, held, rollouts.FOLDER in children)


def listed(models: Folder) -> tuple[int, ...]:
    """The numbers there, ascending, whole or not: one request."""
    return _numbers(models.children())


def latest(models: Folder, seen: Listed | None = None, besides: int = 0) -> int | None:
    """The version that `latest` is, or was when it was `seen`; of the others, where one is left out. None
    where there is none. Raises what `look` does."""
    order = (seen or look(models)).order
    return next((number for number in whole(models, order) if number != besides), None)


def published(models: Folder) -> list[int]:
    """The numbers of the versions that are whole, ascending."""
    return list(whole(models, listed(models)))


def whole(models: Folder, numbers: Iterable[int]) -> Iterator[int]:
    """Those that are whole. A bucket, which charges for each request, is asked about one at its turn."""
    return (number for number in numbers if is_published(models, number))


def is_published(models: Folder, version: int) -> bool:
    """True when this version is there, whole."""
    return models.exists(f"{version}/{CONTRACT_FILE}")


def fetch(
    models_uri: str, version: int | None = None, cache: Path | None = None, *, long_retries: bool = False
) -> ModelBundle:
    """Opens a version, by default the latest, with every file verified.

    A bucket's version is downloaded once into `cache` (default: fovea under the user's cache folder).
    `long_retries` is as of `open_folder`, for a bucket that answers at all.
    Raises BundleInvalid when there is no such version or it is damaged, Unavailable when it cannot be read.
    """
    models = open_reachable(models_uri) if long_retries else open_folder(models_uri)
    number = _choose(models, version)
    if isinstance(models, LocalFolder):
        bundle = ModelBundle.open(models.path / str(number))
    else:
        bundle = _download(models.folder(str(number)), (cache or default_cache()) / "models", str(number))
    if bundle.contract.version != number:
        own_number = bundle.contract.version
        raise BundleInvalid(
            f"{models.uri}/{number}: its {CONTRACT_FILE} says that it is version {own_number}"
        )
    return bundle


def open_bundle(uri: str, cache: Path | None = None) -> ModelBundle:
    """Opens a bundle by its own URI (`models/pets/3`), or the latest version of a model's (`models/pets`).

    `cache` and what is raised are as with `fetch`.
    """
    folder = open_folder(uri)
    if not folder.exists(CONTRACT_FILE):
        above, _, name = uri.rstrip("/").rpartition("/")
        if above and _numbers([name]) and not listed(folder):
            raise absent(open_folder(above), int(name))
        return fetch(uri, cache=cache)
    if isinstance(folder, LocalFolder):
        return ModelBundle.open(folder.path)
    return _download(folder, (cache or default_cache()) / "models", folder.name)


def publish(staged: ModelBundle, models_uri: str, *, promotes: bool = True) -> ModelBundle:
    """Copies a staged bundle to the next free number under `models_uri`; returns it with name and number.

    It becomes the latest, also where a record says which one is, unless it `promotes` nothing: then what was
    the latest is so by a record before it comes, as far as there was one.
    The returned bundle's `path` is the staged one's unless `models_uri` is local. Raises Unavailable.
    """
    models = open_folder(models_uri)
    if not promotes:
        hold(models)
    number = _claim(models)
    contract = staged.contract.model_copy(update={"name": models.name, "version": number})
    bundle = _put(staged.path, contract, models.folder(str(number)))
    if promotes:
        _follow_up(models, number)
    return bundle


def hold(models: Folder, version: int | None = None) -> None:
    """The first record, where there is none: `version`, by default the latest, is so until another record
    says otherwise. Without a record the highest number would be. Raises Unavailable."""
    seen = look(models)
    held = version or latest(models, seen)
    if held is not None and not seen.standing.number:
        with suppress(Overtaken):  # whoever was faster has said which one it is
            move(models, seen.standing, promotion_of(held, seen.order, "publish", "was it before records"))


def put_candidate(staged: ModelBundle, models_uri: str) -> str:
    """Copies a staged bundle to `candidates/` under `models_uri`, as version 0; returns its URI. No one
    takes what lies there for a version. Raises Unavailable."""
    models = open_folder(models_uri)
    candidates = models.folder(CANDIDATES)
    first = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    names = chain([first], (f"{first}-{number}" for number in count(2)))
    name = next(name for name in names if candidates.put_if_absent(f"{name}/{CLAIM_FILE}", _claimed()))
    contract = staged.contract.model_copy(update={"name": models.name, "version": 0})
    _put(staged.path, contract, candidates.folder(name))
    return candidates.folder(name).uri


def _put(source: Path, contract: BundleContract, target: Folder) -> ModelBundle:
    for name in contract.files:
        target.write(name, (source / name).read_bytes())
    target.write(CONTRACT_FILE, contract_json(contract))
    return ModelBundle(target.path if isinstance(target, LocalFolder) else source, contract)


def _follow_up(models: Folder, number: int) -> None:
    """Where records say which version is the latest, one more says that this is; whoever else does so at once
    comes before or after."""
    while (seen := look(models)).standing.number:
        try:
            move(models, seen.standing, promotion_of(number, seen.order, "publish", "published"))
        except Overtaken:
            continue
        return


def absent(models: Folder, version: int | None) -> BundleInvalid:
    """What to tell whoever wanted this version, or by None any, when there is none."""
    if version is None:
        return BundleInvalid(
            f"{models.uri}: no model is published here (versions are folders 1, 2, ... with {CONTRACT_FILE})"
        )
    known = ", ".join(map(str, published(models))) or "none"
    return BundleInvalid(f"{models.uri}: there is no version {version} (there are: {known})")


def drop_cached(bundle: ModelBundle, models_uri: str) -> None:
    """Removes what `fetch` downloaded of a bucket's version; one that was opened where it lies stays."""
    if is_bucket(models_uri):
        shutil.rmtree(bundle.path, ignore_errors=True)


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/fovea`, by default `~/.cache/fovea`. Raises Unavailable where there is no home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fovea"
    except RuntimeError as error:
        raise Unavailable("this user has no home folder to keep models in: set XDG_CACHE_HOME") from error


def _numbers(children: Iterable[str]) -> tuple[int, ...]:
    return tuple(sorted(int(name) for name in children if re.fullmatch("[1-9][0-9]*", name)))


def _choose(models: Folder, version: int | None) -> int:
    wanted = look(models).order if version is None else (version,)
    number = next(whole(models, wanted), None)
    if number is None:
        raise absent(models, version)
    return number


def _claim(models: Folder) -> int:
    seen = look(models)
    # A version may have been removed, and its record would make another of its number the latest.
    number = max((*seen.numbers, *seen.order), default=0) + 1
    while not models.put_if_absent(f"{number}/{CLAIM_FILE}", _claimed()):
        number += 1
    return number


def _claimed() -> bytes:
    claim = {"host": socket.gethostname(), "pid": os.getpid(), "created": datetime.now(UTC).isoformat()}
    return json.dumps(claim).encode()


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
