"""Decoded images on disk: every file is decoded once, by the code that serving uses.

The cache is a memory-mapped file of uint8 crops named by the digest of the files' contents and of the
`PreprocessSpec`, so later epochs and runs decode nothing and memory does not grow with the data.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any, Final

import numpy as np

from fovea.errors import ImageInvalid, Unavailable
from fovea.images.formats import image_path_text
from fovea.images.preprocess import Pixels, crop_image, open_image
from fovea.images.spec import PreprocessSpec
from trainer.images.digests import content_digests, in_threads
from trainer.images.sources import Sample
from trainer.images.traits import traits_of, traits_of_pixels, traits_of_size

FORMAT: Final = "4"
PARTIAL: Final = ".tmp-"


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    error: str | None
    """why it cannot be used; its row in the cache is zero then"""
    traits: tuple[str, ...] = ()
    """what is unusual about it, see `trainer.images.traits`"""


@dataclass(frozen=True)
class Decoded:
    """Some samples' pixels, in their order."""

    cache: Pixels
    """uint8 [n, S, S, 3], memory-mapped"""
    digests: tuple[str, ...]
    """sha256 of each file, hexadecimal"""
    outcomes: tuple[Outcome, ...]


def decode_all(samples: tuple[Sample, ...], spec: PreprocessSpec, cache_dir: Path, threads: int) -> Decoded:
    """Decodes the samples, or finds them in the cache. Raises Unavailable when the cache cannot be written.

    Ends at once when it is interrupted, and leaves nothing behind then.
    """
    digests = content_digests(samples, threads)
    # Another version of a decoder may decode other pixels, which the release gate would refuse.
    parts = [FORMAT, image_path_text(), spec.digest, *digests]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    stored = cache_dir / "pixels" / f"{key}.npy"
    outcomes = stored.with_suffix(".json")
    if not (stored.is_file() and outcomes.is_file()):
        _write_cache(samples, spec, stored, threads)
    entries = json.loads(outcomes.read_text())
    stored_outcomes = tuple(Outcome(entry["error"], tuple(entry["traits"])) for entry in entries)
    return Decoded(np.load(stored, mmap_mode="r"), digests, stored_outcomes)


def _write_cache(samples: tuple[Sample, ...], spec: PreprocessSpec, stored: Path, threads: int) -> None:
    """The pixels first, the outcomes last: the second file says that the first is whole."""
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        with _own_folder(stored.parent) as partial:
            pixels, outcomes = partial / "pixels.npy", partial / "outcomes.json"
            records = [asdict(outcome) for outcome in _decode_into(pixels, samples, spec, threads)]
            outcomes.write_text(json.dumps(records))
            pixels.replace(stored)
            outcomes.replace(stored.with_suffix(".json"))
    except OSError as error:
        raise Unavailable(
            f"{stored.parent}: the image cache cannot be written: {error.strerror}; another folder can be "
            "given as --cache-dir"
        ) from error


@contextmanager
def _own_folder(parent: Path) -> Iterator[Path]:
    """A new one, which other processes do not take for abandoned, where the file system has locks."""
    with ExitStack() as stack:
        with _locked(parent, LOCK_EX):  # nobody looks between its making and its lock
            _remove_abandoned(parent)
            partial = stack.enter_context(tempfile.TemporaryDirectory(dir=parent, prefix=PARTIAL))
            stack.enter_context(_locked(partial, LOCK_EX | LOCK_NB))
        yield Path(partial)


def _remove_abandoned(folder: Path) -> None:
    """What processes left that were killed as they decoded."""
    for partial in folder.glob(f"{PARTIAL}*"):
        with contextlib.suppress(OSError), _opened(partial) as descriptor:
            flock(descriptor, LOCK_EX | LOCK_NB)  # raises while somebody is at work there
            shutil.rmtree(partial)


@contextmanager
def _locked(folder: Path | str, how: int) -> Iterator[None]:
    with _opened(folder) as descriptor:
        with contextlib.suppress(OSError):
            flock(descriptor, how)
        yield


@contextmanager
def _opened(folder: Path | str) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # which gives the lock back, as the end of the process would


def _decode_into(
    target: Path, samples: tuple[Sample, ...], spec: PreprocessSpec, threads: int
) -> Iterator[Outcome]:
    """Fills a new .npy file, a row a sample."""
    cache = _allocate(target, len(samples), spec.size)

    def decode(sample: Sample) -> tuple[Outcome, Pixels | None]:
        try:
            data = sample.path.read_bytes()
            image = open_image(data)
            traits = (*traits_of(image), *traits_of_size(image.file.size, spec))
            crop = crop_image(image, spec)
            return Outcome(None, (*traits, *traits_of_pixels(_picture(crop, spec)))), crop
        except ImageInvalid as error:
            return Outcome(str(error)), None
        except OSError as error:
            return Outcome(f"cannot be read: {error.strerror}"), None

    for row, (outcome, pixels) in enumerate(in_threads(decode, samples, threads, "decoding")):
        if pixels is not None:
            cache[row] = pixels
        yield outcome
    cache.flush()


def _picture(crop: Pixels, spec: PreprocessSpec) -> Pixels:
    """uint8 [n, 3]: its pixels without those that have the padding's colour, unless all have."""
    pixels = crop.reshape(-1, 3)
    if spec.fit == "crop":
        return pixels
    differ = pixels[(pixels != np.array(spec.pad_colour, np.uint8)).any(1)]
    return differ if len(differ) else pixels


def _allocate(target: Path, rows: int, size: int) -> np.memmap[Any, np.dtype[np.uint8]]:
    """A zeroed array on disk, all of whose blocks are there: writing to a full disk through a memory map
    would kill the process."""
    cache = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=(rows, size, size, 3))
    with target.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, target.stat().st_size)
    return cache
