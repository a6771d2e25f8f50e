import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fovea.stopping import Stopping
from tests.shared import SharedFolder
from tests.trainer.exported import charts_left_out, made_once, operators_read_once
from trainer import job
from trainer.config import ExportSettings, TrainSettings
from trainer.fit.loop import fit
from trainer.images.digits import write_digits
from trainer.learning_rate.decision import Decision, fixed_rate
from trainer.network.checkpoint import CHECKPOINT_FILE
from trainer.preparation import prepare
from trainer.recipe import find_learning_rate, recipe_of
from trainer.runs.history import EpochRecord
from trainer.runs.run_folder import RunFolder


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other cost more than such small networks gain. For each test anew: a
    training before may have taken others."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _quick_exports() -> Iterator[None]:
    with operators_read_once():
        yield


@pytest.fixture(scope="session")
def exports(shared: SharedFolder) -> Path:
    """Where exports are kept."""
    return shared.once("exports", Path.mkdir)


@pytest.fixture
def known_exports(exports: Path) -> Iterator[None]:
    """For tests that train equal networks, and look at something else than their export and the charts."""
    with made_once(exports), charts_left_out():
        yield


@pytest.fixture(scope="session")
def digits(shared: SharedFolder) -> Path:
    """The whole data set as files."""
    return shared.once("digits", write_digits)


@pytest.fixture(scope="session")
def few_digits(digits: Path, shared: SharedFolder) -> Path:
    """Zeros and ones: 48 images to train on, 20 held out."""

    def make(folder: Path) -> None:
        for part, count in (("train", 24), ("val", 10)):
            for label in ("0", "1"):
                (folder / part / label).mkdir(parents=True)
                for file in sorted((digits / part / label).iterdir())[:count]:
                    shutil.copy(file, folder / part / label)

    return shared.once("few-digits", make)


def train_settings(data: Path, root: Path, **changes: object) -> TrainSettings:
    """A small and quick training: resnet18 at 32 pixels."""
    options: dict[str, Any] = {
        "data": str(data),
        "models": str(root / "models" / "tiny"),
        "runs": root / "runs",
        "run_id": "a",
        "cache_dir": root / "cache",
        "arch": "resnet18",
        "weights": "none",
        "size": 32,
        "resize": 32,
        "batch_size": 16,
        "num_steps": 16,
        "flip": False,
        "device": "cpu",
        "threads": 1,
        "publish_anyway": True,
    }
    return TrainSettings(**{**options, **changes})


def train_only(
    data: Path, root: Path, range_test: bool = False, **changes: Any
) -> tuple[list[EpochRecord], dict[str, Tensor], Decision]:
    """Trains in a new folder of `root` and releases nothing: the epochs, the weights that they led to, and
    what the range test found, if one was made."""
    quick = {"arch": "squeezenet1_1", "batch_size": 8, "lr": 1e-2}
    settings = train_settings(data, root, **{**quick, **changes})
    start = prepare(settings)
    assert isinstance(settings.lr, float)
    decision = fixed_rate(settings.lr)
    suggestion = find_learning_rate(start, settings) if range_test else decision
    run = root / f"run-{len(list(root.iterdir()))}"
    _, epochs = fit(
        start.checkpoint,
        start.data,
        recipe_of(settings, start, decision),
        start.precision,
        Stopping(),
        run,
    )
    return epochs, start.checkpoint.network.state_dict(), suggestion


@pytest.fixture(scope="session")
def trained(few_digits: Path, exports: Path, shared: SharedFolder) -> Path:
    """A folder with runs/a and models/tiny/1, made by a whole training. Not to be changed: it is shared."""

    def make(root: Path) -> None:
        with made_once(exports):
            job.train(train_settings(few_digits, root, epochs="auto", max_epochs=3))

    return shared.once("trained", make)


@pytest.fixture(scope="session")
def released_precisions(trained: Path, exports: Path, shared: SharedFolder) -> Path:
    """A folder with run, a copy of the trained one, and models/v/1, its model at fp32, fp16 and int8. Not to
    be changed: it is shared."""

    def make(root: Path) -> None:
        run = RunFolder(Path(shutil.copytree(trained / "runs" / "a", root / "run")))
        wanted = {"precisions": ["fp32", "fp16", "int8"], "max_accuracy_drop": 1.0}
        run.write_json("settings.json", run.read_json("settings.json") | wanted)
        with made_once(exports):
            models = str(root / "models" / "v")
            job.export(ExportSettings(run=run.path, models=models, device="cpu", threads=1))

    return shared.once("released-precisions", make)


@pytest.fixture(scope="session")
def uninterrupted(few_digits: Path, exports: Path, shared: SharedFolder) -> Path:
    """A run of a frozen epoch and two cycles, 1 and 2 epochs long, that nothing broke off."""
    from tests.trainer.interruptions import finetuning, start_from  # which take train_settings from here

    def make(root: Path) -> None:
        root.mkdir()
        start_from(few_digits, root)
        with made_once(exports):
            job.train(finetuning(few_digits, root))

    return shared.once("uninterrupted", make) / "runs" / "a"


@pytest.fixture
def own_run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run, whose report an export may replace; its checkpoint is the same file."""
    given = trained / "runs" / "a"
    shutil.copytree(given, tmp_path / "own-run", ignore=shutil.ignore_patterns(CHECKPOINT_FILE))
    (tmp_path / "own-run" / CHECKPOINT_FILE).hardlink_to(given / CHECKPOINT_FILE)
    return tmp_path / "own-run"
