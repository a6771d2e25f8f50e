"""The data set of a training: what is trained on, what is held out, and what was left out."""

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
    """What is trained on and what is held out."""

    labels: tuple[str, ...]
    train: Images
    """Larger than the crop, for augmentation to cut from."""
    heldout: Images
    """Exactly what serving would make of the files."""
    bad: tuple[BadFile, ...]
    comparison: Audit
    digest: str
    """sha256 over the contents and labels of all images, hexadecimal"""
    passed_over: PassedOver
    """files that were there, and are no images by their names or have no label"""
    left_for_evaluate: dict[str, int]
    """part -> its images, which nothing was done with"""

    def audit(self) -> AuditRecord:
        """What audit.json says."""
        comparison = self.comparison
        return AuditRecord(
            digest=self.digest,
            not_taken={kind: NotTakenRecord(**files) for kind, files in self.passed_over.record().items()},
            left_for_evaluate=self.left_for_evaluate,
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
    """Decodes the images of `split`, or finds them in the cache: those held out by `spec`, the others by
    `in_training`, or by default as `spec` has them before it cuts.

    Files that cannot be decoded are left out and named in `bad`; training images whose content is held out
    too are left out and named in `comparison`, for else the held-out accuracy would be better than the truth.
    Raises DataInvalid when bad files are more than `max_bad_fraction` of all or leave a class nothing to
    train on, Unavailable when the cache cannot be written.
    """
    whole = in_training or spec.model_copy(update={"size": spec.resize})
    train = decode_all(split.train, whole, cache_dir, threads)
    heldout = decode_all(split.heldout, spec, cache_dir, threads)
    bad = (*_bad(split.train, train), *_bad(split.heldout, heldout))
    check_bad(data, bad, len(split.train) + len(split.heldout), max_bad_fraction)
    comparison = audit(_usable(split.train, train), _usable(split.heldout, heldout))
    heldout_digests = {file.digest for file in _usable(split.heldout, heldout)}
    train_rows = [row for row in _usable_rows(train) if train.digests[row] not in heldout_digests]
    heldout_rows = _usable_rows(heldout)
    usable = check_split(
        data, (split.train[row] for row in train_rows), (split.heldout[row] for row in heldout_rows)
    )
    for label in sorted(set(split.labels) - set(usable.labels)):
        raise DataInvalid(
            f"{data}: class {label!r} has no image left to train on: each is damaged or held out too"
        )
    return DataSet(
        usable.labels,
        _images(usable.train, train, train_rows, usable.labels),
        _images(usable.heldout, heldout, heldout_rows, usable.labels),
        bad,
        comparison,
        _data_digest(split, train, heldout),
        split.passed_over,
        split.left_for_evaluate,
    )


def _usable_rows(decoded: Decoded) -> list[int]:
    return [row for row, outcome in enumerate(decoded.outcomes) if outcome.error is None]


def _usable(samples: tuple[Sample, ...], decoded: Decoded) -> Iterator[UsableFile]:
    for row in _usable_rows(decoded):
        yield UsableFile(samples[row], decoded.digests[row], decoded.outcomes[row].traits)


def _bad(samples: tuple[Sample, ...], decoded: Decoded) -> Iterator[BadFile]:
    for sample, outcome in zip(samples, decoded.outcomes, strict=True):
        if outcome.error is not None:
            yield BadFile(str(sample), outcome.error)


def _images(
    samples: tuple[Sample, ...], decoded: Decoded, rows: list[int], labels: tuple[str, ...]
) -> Images:
    index = {label: number for number, label in enumerate(labels)}
    targets = np.array([index[sample.label] for sample in samples], np.int64)
    return Images(decoded.cache, np.array(rows, np.int64), targets, samples)


def _data_digest(split: Split, train: Decoded, heldout: Decoded) -> str:
    parts = [
        [(sample.label, digest) for sample, digest in zip(samples, decoded.digests, strict=True)]
        for samples, decoded in ((split.train, train), (split.heldout, heldout))
    ]
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()
