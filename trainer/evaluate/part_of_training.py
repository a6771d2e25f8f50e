"""The images that a model was not trained on, of its own data: split again as its bundle tells."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from fovea.errors import DataInvalid
from fovea.model.bundle import BundleContract
from fovea.model.task import Task
from trainer.images.digests import content_digests, data_digest
from trainer.images.grouping import Grouping
from trainer.images.labelling import Labelling
from trainer.images.sources import Heldout, Split, open_source
from trainer.runs.lineage import Lineage

Part = Literal["val", "test"]


class HowSplit(BaseModel):
    """Of the settings of a training, those that say who is held out."""

    val_fraction: float = 0.2
    test_fraction: float = 0.0
    seed: int = 0
    group: str | None = None
    group_pattern: str | None = None
    task: Task = "single"
    label_separator: str = ";"
    label_columns: tuple[str, ...] = ()


def open_part(
    data: str,
    corrections: tuple[str, ...],
    captures: tuple[str, ...],
    part: Part,
    contract: BundleContract,
    cache_dir: Path,
    threads: int,
) -> Heldout:
    """The held-out images of the model's training, or those that it was tested on.

    `data` is split as it was then, and has to be the same: raises DataInvalid where contents, labels or
    corrections differ from those that the bundle has the digest of, and where there was no such part.
    """
    lineage = Lineage.of(contract.training)
    split = _split_as_then(data, corrections, captures, lineage, cache_dir)
    parts = [split.train, split.heldout, *([split.test] if split.test else [])]
    digests = [content_digests(samples, threads) for samples in parts]
    if data_digest(zip(parts, digests, strict=True)) != lineage.data_digest:
        raise DataInvalid(
            f"--part {part}: {data} does not give the images and labels that the model was trained on, so it "
            "is not known which of them were held out; give the --data of the training, its corrections too"
        )
    if part == "test":
        if not split.test:
            raise DataInvalid(
                "--part test: the model's training had no such part; its figures are of --part val"
            )
        return Heldout("test", split.test, split.passed_over, split.corrections, split.captures)
    tested = {digest for of_later in digests[2:] for digest in of_later}
    kept = zip(split.heldout, digests[1], strict=True)
    samples = tuple(sample for sample, digest in kept if digest not in tested)
    return Heldout("val", samples, split.passed_over, split.corrections, split.captures)


def _split_as_then(
    data: str, corrections: tuple[str, ...], captures: tuple[str, ...], lineage: Lineage, cache_dir: Path
) -> Split:
    try:
        then = HowSplit.model_validate(lineage.settings)
    except ValidationError as error:
        raise DataInvalid("--part: the bundle does not tell how its training split the images") from error
    return open_source(
        data,
        corrections,
        captures=captures,
        val_fraction=then.val_fraction,
        test_fraction=then.test_fraction,
        seed=then.seed,
        cache_dir=cache_dir,
        grouping=Grouping(then.group, then.group_pattern),
        labelling=Labelling(then.task, then.label_separator, then.label_columns),
    )
