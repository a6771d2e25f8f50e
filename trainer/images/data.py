"""The data set of a training: what is trained on, held out and tested on, and what was left out."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fovea.errors import DataInvalid
from fovea.images.passed_over import PassedOver
from fovea.images.spec import PreprocessSpec
from fovea.model.bundle import canonical_json
from trainer.images.audit import (
    Audit,
    AuditRecord,
    BadFile,
    NotTakenRecord,
    UsableFile,
    audit,
    check_bad,
    left_out,
)
from trainer.images.batches import Images
from trainer.images.pixels import Decoded, decode_all
from trainer.images.sources import Sample, Split, check_split


@dataclass(frozen=True)
class DataSet:
    """What is trained on, what is held out and what is tested on."""

    labels: tuple[str, ...]
    train: Images
    """Larger than the crop, for augmentation to cut from."""
    heldout: Images
    """Exactly what serving would make of the files. By them a training chooses."""
    bad: tuple[BadFile, ...]
    comparison: Audit
    digest: str
    """sha256 over the contents and labels of all images, hexadecimal"""
    passed_over: PassedOver
    """files that were there, and are no images by their names or have no label"""
    test: Images | None = None
    """As held-out ones; nothing is chosen by them. None where there is no such part."""

    @property
    def told(self) -> Images:
        """The images that the figures of a model are told of."""
        return self.heldout if self.test is None else self.test

    def audit(self) -> AuditRecord:
        """What audit.json says."""
        comparison = self.comparison
        return AuditRecord(
            digest=self.digest,
            not_taken={kind: NotTakenRecord(**files) for kind, files in self.passed_over.record().items()},
            quarantined=list(self.bad),
            classes=comparison.classes,
            look_alikes=comparison.look_alikes,
            tiny=comparison.tiny,
            not_heldout=comparison.not_heldout,
            leaked=list(comparison.leaked),
            conflicts=list(comparison.conflicts),
            duplicates=list(comparison.duplicates),
            traits=comparison.traits,
            doubtful=comparison.doubtful,
        )

    def findings(self) -> Iterator[str]:
        """A line for each kind of finding that matters, with its first example."""
        if self.passed_over.matters:
            yield f"files not taken: {self.passed_over.line()}"
        if self.bad:
            yield left_out(self.bad)
        yield from self.comparison.findings()


def read_images(
    split: Split,
    data: str,
    spec: PreprocessSpec,
    cache_dir: Path,
    *,
    max_bad_fraction: float,
    threads: int,
    in_training: PreprocessSpec | None = None,
) -> DataSet:
    """Decodes the images of `split`, or finds them in the cache: those to train on by `in_training`, or by
    default as `spec` has them before it cuts, the others by `spec`.

    Files that cannot be decoded are left out and named in `bad`; training images whose content is held out or
    tested on too, and held-out ones whose content is tested on, are left out and named in `comparison`, for
    else the accuracy would be better than the truth.
    Raises DataInvalid when bad files are more than `max_bad_fraction` of all or leave a class nothing to
    train on, Unavailable when the cache cannot be written.
    """
    whole = in_training or spec.model_copy(update={"size": spec.resize})
    parts = [
        _Part(samples, decode_all(samples, of_part, cache_dir, threads))
        for samples, of_part in ((split.train, whole), (split.heldout, spec), (split.test, spec))
        if samples
    ]
    bad = tuple(file for part in parts for file in part.bad())
    check_bad(data, bad, sum(len(part.samples) for part in parts), max_bad_fraction)
    rows = _rows_without_leaks(parts)
    _check_left(data, parts, rows)
    usable = check_split(
        data, *([part.samples[row] for row in of] for part, of in zip(parts, rows, strict=True))
    )
    for label in sorted(set(split.labels) - set(usable.labels)):
        raise DataInvalid(
            f"{data}: class {label!r} has no image left to train on: each is damaged or held out too"
        )
    train, heldout, *test = (part.images(of, usable.labels) for part, of in zip(parts, rows, strict=True))
    return DataSet(
        usable.labels,
        train,
        heldout,
        bad,
        audit(*(part.usable() for part in parts)),
        _data_digest(parts),
        split.passed_over,
        *test,
    )


@dataclass(frozen=True)
class _Part:
    """The images of a part as they were decoded."""

    samples: tuple[Sample, ...]
    decoded: Decoded

    def rows(self) -> list[int]:
        """Of those that can be used."""
        return [row for row, outcome in enumerate(self.decoded.outcomes) if outcome.error is None]

    def usable(self) -> Iterator[UsableFile]:
        for row in self.rows():
            yield UsableFile(self.samples[row], self.decoded.digests[row], self.decoded.outcomes[row].traits)

    def bad(self) -> Iterator[BadFile]:
        for sample, outcome in zip(self.samples, self.decoded.outcomes, strict=True):
            if outcome.error is not None:
                yield BadFile(str(sample), outcome.error)

    def images(self, rows: list[int], labels: tuple[str, ...]) -> Images:
        index = {label: number for number, label in enumerate(labels)}
        samples = tuple(self.samples[row] for row in rows)
        targets = np.array([index[sample.label] for sample in samples], np.int64)
        return Images(self.decoded.cache, np.array(rows, np.int64), targets, samples)


def _rows_without_leaks(parts: list[_Part]) -> list[list[int]]:
    """Of each part those that can be used and whose content no later part has."""
    later: set[str] = set()
    rows = []
    for part in reversed(parts):
        digests = part.decoded.digests
        rows.append([row for row in part.rows() if digests[row] not in later])
        later.update(digests[row] for row in part.rows())
    return rows[::-1]


def _check_left(data: str, parts: list[_Part], rows: list[list[int]]) -> None:
    """Raises DataInvalid where no image is left to hold out or to test on, though there were some."""
    for name, part, left in zip(("held out", "in the part test"), parts[1:], rows[1:], strict=False):
        if not left:
            why = "is damaged, or in the part test too" if part.rows() else "is damaged"
            raise DataInvalid(f"{data}: no image is left {name}: each of {len(part.samples)} {why}")


def _data_digest(parts: list[_Part]) -> str:
    contents = [
        [(sample.label, digest) for sample, digest in zip(part.samples, part.decoded.digests, strict=True)]
        for part in parts
    ]
    return hashlib.sha256(canonical_json(contents).encode()).hexdigest()
