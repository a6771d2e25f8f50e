"""Every image of a source, whatever its part: for trainings that each hold other ones out."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from fovea.images.spec import PreprocessSpec
from trainer.images.audit import Audit, audit, check_bad
from trainer.images.copies import Copies
from trainer.images.data import DataSet, data_digest
from trainer.images.part import Part
from trainer.images.pixels import decode_all
from trainer.images.sources import Split

NO_COPIES: Final = Copies((), (), (), (), frozenset())


def read_every_image(
    split: Split,
    data: str,
    spec: PreprocessSpec,
    cache_dir: Path,
    *,
    max_bad_fraction: float,
    threads: int,
    in_training: PreprocessSpec,
) -> DataSet:
    """The images of `split.train` twice, in one order: in `train` as they are trained on, by `in_training`,
    and in `heldout` as they are served, by `spec`. Which are to be held out is for the caller to say.

    Raises as `read_images` does, and DataInvalid where one class only is left.
    """
    whole = Part(split.train, decode_all(split.train, in_training, cache_dir, threads), in_training)
    served = whole
    if in_training != spec:
        served = Part(split.train, decode_all(split.train, spec, cache_dir, threads), spec)
    bad = tuple(served.bad())
    check_bad(data, bad, len(split.train), max_bad_fraction)
    rows = sorted({*whole.rows()} & {*served.rows()})
    labels = tuple(sorted({split.train[row].label for row in rows}))
    if len(labels) < 2:
        raise DataInvalid(f"{data}: there is one class only, {labels[0]!r}; at least two are needed")
    return DataSet(
        labels=labels,
        train=whole.images(rows, labels),
        heldout=served.images(rows, labels),
        bad=bad,
        comparison=_of_both_parts(audit(served.usable((), ()), ())),
        copies=NO_COPIES,
        digest=data_digest([served]),
        passed_over=split.passed_over,
        pictures={},
        corrections=split.corrections,
        kept=split.kept,
        contents=tuple(served.decoded.digests[row] for row in rows),
    )


def _of_both_parts(found: Audit) -> Audit:
    """What is trained on is held out too, in its turn."""
    counts = {label: {**parts, "heldout": parts["train"]} for label, parts in found.classes.items()}
    return replace(found, classes=counts)
