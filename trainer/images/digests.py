"""What images are, in 64 letters: of each file's content, and of a split's contents and labels."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from fovea.model.bundle import canonical_json
from fovea.ordered import Window, ordered_map
from trainer.images.listing import Sample
from trainer.progress import show_progress

AHEAD_PER_THREAD = 8
R = TypeVar("R")


def content_digests(samples: Sequence[Sample], threads: int) -> tuple[str, ...]:
    """sha256 of each file, hexadecimal; of one that cannot be read, why."""
    return tuple(in_threads(_content_digest, samples, threads, "reading"))


def data_digest(parts: Iterable[tuple[Sequence[Sample], Sequence[str]]]) -> str:
    """sha256 over the labels of each part's samples and the digests of their contents, hexadecimal."""
    contents = [
        [
            (sample.labels if sample.labels is not None else sample.label, digest)
            for sample, digest in zip(samples, digests, strict=True)
        ]
        for samples, digests in parts
    ]
    return hashlib.sha256(canonical_json(contents).encode()).hexdigest()


def in_threads(
    function: Callable[[Sample], R], samples: Sequence[Sample], threads: int, verb: str
) -> Iterable[R]:
    results = ordered_map(function, samples, threads, Window(AHEAD_PER_THREAD * threads))
    return show_progress(results, verb, len(samples))


def _content_digest(sample: Sample) -> str:
    try:
        with sample.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"
