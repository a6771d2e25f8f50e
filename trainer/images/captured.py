"""Captured images as a source: each once, called by its content, without a label of its own.

What a model answered is no label. Labels come from corrections, in which a captured image is
`sha256/` and its 64 hexadecimal digits.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from fovea.capture.files import began_of, days_of
from fovea.capture.reading import read_captures
from fovea.capture.rows import Captured
from fovea.errors import DataInvalid
from fovea.stores.storage import LocalFolder, open_folder
from trainer.images.corrections import BY_CONTENT
from trainer.images.listing import Sample

_ENDINGS: Final = (
    (b"\x89PNG", ".png"),
    (b"\xff\xd8", ".jpg"),
    (b"RIFF", ".webp"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)
"""For people who look into the cache or at golden images; nothing goes by them."""


class CapturesRecord(BaseModel, frozen=True):
    """What became of captured images. Each counts once, however often it was captured."""

    sources: tuple[str, ...]
    images: int
    labelled: int
    """that have a label, by corrections"""
    left_out: int
    """by corrections"""
    known: int
    """that are among the other images, and count there"""
    without_image: int
    """of which captures keep the answers alone"""

    def __str__(self) -> str:
        where = " and ".join(self.sources)
        parts = [f"of {_images(self.images)} of {where}, {self.labelled:,} have a label by corrections"]
        without = self.images - self.labelled - self.left_out - self.known - self.without_image
        if without:
            parts.append(f"{without:,} have none")
        if self.known:
            parts.append(f"{self.known:,} are among the other images")
        if self.left_out:
            parts.append(f"{self.left_out:,} are left out by corrections")
        if self.without_image:
            parts.append(f"{self.without_image:,} were captured without the image")
        return ", ".join(parts)


def _images(count: int) -> str:
    return "1 captured image" if count == 1 else f"{count:,} captured images"


@dataclass(frozen=True)
class CapturedImages:
    """As they were read. Digests are sha256, hexadecimal."""

    samples: tuple[Sample, ...] = ()
    """each image once, by its first capture, with no label; those that were wanted"""
    images: int = 0
    known: int = 0
    without_image: frozenset[str] = field(default_factory=frozenset)

    @property
    def contents(self) -> set[str]:
        """Digests of those that are there, with their bytes or without."""
        return {str(sample).removeprefix(BY_CONTENT) for sample in self.samples} | self.without_image

    def record(self, sources: Sequence[str], labelled: int, left_out: int) -> CapturesRecord:
        return CapturesRecord(
            sources=tuple(sources),
            images=self.images,
            labelled=labelled,
            left_out=left_out,
            known=self.known,
            without_image=len(self.without_image),
        )


def holds_captures(uri: str) -> bool:
    """Whether a folder or a bucket's prefix has a file of captures. Raises Unavailable."""
    if uri.endswith(".csv") or uri == "digits":
        return False
    folder = open_folder(uri, long_retries=True)
    return any(
        began_of(f"{day}/{entry.key}") for day in days_of(folder) for entry in folder.folder(day).entries()
    )


def check_captures(uris: Sequence[str]) -> None:
    """Raises DataInvalid where one has none."""
    for uri in uris:
        if not holds_captures(uri):
            raise DataInvalid(
                f"--data {uri}: there are no captures (date=*/fovea-capture-*.parquet); the first --data are "
                "the images, and after it come captures, and CSV files path,label[,decision] that correct "
                "labels, by their names too"
            )


def fetch_captured(
    uris: Sequence[str], cache_dir: Path, wanted: Collection[str] | None, known: Collection[str]
) -> CapturedImages:
    """The captured images copied to files: those of the digests `wanted`, by None all; but what is `known`.

    One is in memory at a time. A file stays until no capture has the image any longer, as it is with buckets.
    Raises SettingsInvalid without pyarrow, Unavailable, DataInvalid for a damaged capture.
    """
    places: dict[str, Path] = {}
    seen: set[str] = set()
    with_image: set[str] = set()
    for uri in uris:
        cache = LocalFolder(cache_dir / "captures" / hashlib.sha256(uri.encode()).hexdigest()[:16])
        kept = set()
        for row in read_captures(uri):
            seen.add(row.sha256)
            if row.image is None:
                continue
            with_image.add(row.sha256)
            if row.sha256 in known or (wanted is not None and row.sha256 not in wanted):
                continue
            key = _keep(row, row.image, cache, uri)
            kept.add(key)
            places.setdefault(row.sha256, cache.path / key)
        _remove_others(kept, cache, seen)
    samples = tuple(Sample(place, "", f"{BY_CONTENT}{content}") for content, place in places.items())
    missing = frozenset(seen - with_image - set(known))
    return CapturedImages(samples, len(seen), len(seen & set(known)), missing)


def _keep(row: Captured, image: bytes | memoryview, cache: LocalFolder, uri: str) -> str:
    """Puts the image where it is not yet; returns its key."""
    data = bytes(image)
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise DataInvalid(f"{uri}: the captured image {row.sha256!r} has another sha256: the file is damaged")
    ending = next((ending for start, ending in _ENDINGS if data.startswith(start)), "")
    key = f"{row.sha256[:2]}/{row.sha256}{ending}"
    if not cache.exists(key):
        cache.write(key, data)
    return key


def _remove_others(kept: Collection[str], cache: LocalFolder, seen: Collection[str]) -> None:
    """Of earlier runs: what was captured then and is not any longer. Others may want what is."""
    for key in _keys(cache):
        if key not in kept and Path(key).stem not in seen:
            (cache.path / key).unlink(missing_ok=True)


def _keys(cache: LocalFolder) -> Iterator[str]:
    return (entry.key for entry in cache.entries())
