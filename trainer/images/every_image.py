"""Every image of a source, whatever its part: for trainings that each hold other ones out."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from fovea.errors import DataInvalid
from fovea.images.spec import PreprocessSpec
from trainer.images.audit import Audit, audit, check_bad
from trainer.images.copies import find_copies
from trainer.images.data import DataSet
from trainer.images.digests import data_digest
from trainer.images.part import Part
from trainer.images.pixels import decode_all
from trainer.images.sources import Split


def read_every_image(
    split: Split,
    data: str,
    spec: PreprocessSpec,
    cache_dir: Path,
    *,
    max_bad_fraction: float,
    threads: int,
    in_training: PreprocessSpec,
    flip: bool,
) -> DataSet:
    """The images of `split.train` twice, in one order: in `train` as they are trained on, by `in_training`,
    and in `heldout` as they are served, by `spec`. Which are to be held out is for the caller to say, those
    together that have one name in `together`. `flip` says whether mirrored pictures are nearly the same.

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
    copies = find_copies([served], [rows], flip=flip, cache_dir=cache_dir)
    return DataSet(
        labels=labels,
        train=whole.images(rows, labels),
        heldout=served.images(rows, labels),
        bad=bad,
        comparison=_of_both_parts(audit(served.usable((), copies.blurred), ())),
        copies=copies,
        digest=data_digest([(served.samples, served.decoded.digests)]),
        passed_over=split.passed_over,
        pictures={},
        corrections=split.corrections,
        captures=split.captures,
        kept=split.kept,
        together=_together(served, rows, copies.groups),
    )


def _together(part: Part, rows: Sequence[int], groups: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The content of each image, or one of its group's, whose files are nearly the same picture."""
    content = {str(part.samples[row]): part.decoded.digests[row] for row in rows}
    named: dict[str, str] = {}
    for group in groups:
        contents = [content[name] for name in group]
        named.update(dict.fromkeys(contents, min(contents)))
    return tuple(named.get(part.decoded.digests[row], part.decoded.digests[row]) for row in rows)


def _of_both_parts(found: Audit) -> Audit:
    """What is trained on is held out too, in its turn."""
    counts = {label: {**parts, "heldout": parts["train"]} for label, parts in found.classes.items()}
    return replace(found, classes=counts)
