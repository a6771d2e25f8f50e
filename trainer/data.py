"""From image files to pixels: every file is decoded once, by the code that serving uses, and cached.

The cache is a memory-mapped file of uint8 crops named by the digest of the files' contents and of the
`PreprocessSpec`, so later epochs and runs decode nothing and memory does not grow with the data.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fovea.bundle import canonical_json
from fovea.errors import DataInvalid, InvalidImage, Unavailable
from fovea.preprocess import Pixels, PreprocessSpec, decode_image
from trainer.sources import Sample, Split, check_split


@dataclass(frozen=True)
class Images:
    """Decoded images and where they came from, in the same order."""

    cache: Pixels
    """uint8 [rows, S, S, 3], memory-mapped; bad files have a row too"""
    rows: npt.NDArray[np.int64]
    """[n], the row of each image in `cache`"""
    targets: npt.NDArray[np.int64]
    """[n], indices of labels"""
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def pixels(self, indices: npt.NDArray[np.int64] | slice) -> Pixels:
        """uint8 [len(indices), S, S, 3], read from the cache file."""
        return self.cache[self.rows[indices]]


@dataclass(frozen=True)
class BadFile:
    """A file that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class DataSet:
    """What is trained on and what is held out."""

    labels: tuple[str, ...]
    train: Images
    """Larger than the crop, for augmentation to cut from."""
    heldout: Images
    """Exactly what serving would make of the files."""
    bad: tuple[BadFile, ...]
    digest: str
    """sha256 over the contents and labels of all images, hexadecimal"""

    def audit(self) -> dict[str, object]:
        """What audit.json says."""
        classes = {
            label: {
                "train": int((self.train.targets == index).sum()),
                "heldout": int((self.heldout.targets == index).sum()),
            }
            for index, label in enumerate(self.labels)
        }
        return {"digest": self.digest, "classes": classes, "quarantined": [asdict(bad) for bad in self.bad]}


def read_images(
    split: Split, data: str, spec: PreprocessSpec, cache_dir: Path, *, max_bad_fraction: float, threads: int
) -> DataSet:
    """Decodes the images of `split`, or finds them in the cache.

    Files that cannot be decoded are left out and named in `bad`. Raises DataInvalid when they are more than
    `max_bad_fraction` of all or leave a class empty, Unavailable when the cache cannot be written.
    """
    whole = PreprocessSpec(size=spec.resize, resize=spec.resize)
    train = _decode_all(split.train, whole, cache_dir, threads)
    heldout = _decode_all(split.heldout, spec, cache_dir, threads)
    bad = tuple(
        BadFile(str(sample.path), error)
        for samples, part in ((split.train, train), (split.heldout, heldout))
        for sample, error in zip(samples, part.errors, strict=True)
        if error is not None
    )
    _check_bad(data, bad, len(split.train) + len(split.heldout), max_bad_fraction)
    kept = check_split(data, train.usable(split.train), heldout.usable(split.heldout))
    return DataSet(
        kept.labels,
        _images(kept.train, train, kept.labels),
        _images(kept.heldout, heldout, kept.labels),
        bad,
        _data_digest(split, train, heldout),
    )


def _check_bad(data: str, bad: tuple[BadFile, ...], total: int, max_bad_fraction: float) -> None:
    if len(bad) > max_bad_fraction * total:
        raise DataInvalid(
            f"{data}: {len(bad)} of {total} images cannot be used, more than --max-bad-fraction "
            f"{max_bad_fraction:g} allows; the first is {bad[0].path}: {bad[0].reason}"
        )


@dataclass(frozen=True)
class _Decoded:
    cache: Pixels
    digests: list[str]
    errors: list[str | None]

    def usable(self, samples: tuple[Sample, ...]) -> Iterator[Sample]:
        return (sample for sample, error in zip(samples, self.errors, strict=True) if error is None)


def _decode_all(samples: tuple[Sample, ...], spec: PreprocessSpec, cache_dir: Path, threads: int) -> _Decoded:
    with ThreadPoolExecutor(threads) as pool:
        digests = list(pool.map(_content_digest, samples))
        key = hashlib.sha256("\n".join([spec.digest, *digests]).encode()).hexdigest()
        stored = cache_dir / "pixels" / f"{key}.npy"
        errors_file = stored.with_suffix(".json")
        if not (stored.is_file() and errors_file.is_file()):
            _write_cache(samples, spec, stored, pool)
    errors = json.loads(errors_file.read_text())
    return _Decoded(np.load(stored, mmap_mode="r"), digests, errors)


def _content_digest(sample: Sample) -> str:
    try:
        with sample.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _write_cache(
    samples: tuple[Sample, ...], spec: PreprocessSpec, stored: Path, pool: ThreadPoolExecutor
) -> None:
    """The pixels first, the errors last: the second file says that the first is whole."""
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=stored.parent, prefix=".tmp-") as partial:
            pixels, errors = Path(partial, "pixels.npy"), Path(partial, "errors.json")
            errors.write_text(json.dumps(_decode_into(pixels, samples, spec, pool)))
            pixels.replace(stored)
            errors.replace(stored.with_suffix(".json"))
    except OSError as error:
        raise Unavailable(
            f"{stored.parent}: the image cache cannot be written: {error.strerror}; another folder can be "
            "given as --cache-dir"
        ) from error


def _decode_into(
    target: Path, samples: tuple[Sample, ...], spec: PreprocessSpec, pool: ThreadPoolExecutor
) -> list[str | None]:
    """Fills a new .npy file; returns each sample's error or None. Bad files leave their row zero."""
    shape = (len(samples), spec.size, spec.size, 3)
    cache = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=shape)

    def decode_row(row: int) -> str | None:
        try:
            cache[row] = decode_image(samples[row].path.read_bytes(), spec)
        except InvalidImage as error:
            return str(error)
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return None

    errors = list(pool.map(decode_row, range(len(samples))))
    cache.flush()
    return errors


def _images(samples: tuple[Sample, ...], decoded: _Decoded, labels: tuple[str, ...]) -> Images:
    index = {label: number for number, label in enumerate(labels)}
    targets = np.array([index[sample.label] for sample in samples], np.int64)
    rows = np.array([row for row, error in enumerate(decoded.errors) if error is None], np.int64)
    return Images(decoded.cache, rows, targets, samples)


def _data_digest(split: Split, train: _Decoded, heldout: _Decoded) -> str:
    parts = [
        [(sample.label, digest) for sample, digest in zip(samples, decoded.digests, strict=True)]
        for samples, decoded in ((split.train, train), (split.heldout, heldout))
    ]
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()
