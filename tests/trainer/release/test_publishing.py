"""A model that is worth nothing does not go live by itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.errors import DataInvalid
from fovea.model import versions
from fovea.model.bundle import ModelBundle
from tests.trainer.conftest import train_settings
from trainer import job
from trainer.config import TrainSettings

pytestmark = pytest.mark.usefixtures("known_exports")


@pytest.fixture
def noise(tmp_path: Path) -> TrainSettings:
    """A training on images in which there is nothing to be learnt."""
    random = np.random.default_rng(0)
    for part, count in (("train", 16), ("val", 10)):
        for label in ("cat", "dog"):
            folder = tmp_path / "noise" / part / label
            folder.mkdir(parents=True)
            for place in range(count):
                Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{place}.png")
    quick = {"arch": "squeezenet1_1", "lr": 1e-4, "publish_anyway": False}
    return train_settings(tmp_path / "noise", tmp_path, **quick)


def test_a_model_no_better_than_the_majority_is_kept_and_not_published(
    noise: TrainSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    run = noise.runs / "a"
    with pytest.raises(
        DataInvalid, match=r"not published: it is not .*better than always .*--publish-anyway"
    ):
        job.train(noise)
    said = capsys.readouterr().out
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["model"], summary["candidate"]) == (None, str(run / "candidate"))
    assert summary["verdict"]["word"] == "Not fit to ship"
    assert summary["majority"] == {"label": "cat", "accuracy": 0.5}
    assert summary["accuracy_interval_95"][0] < 0.5 < summary["macro_recall"] + 0.3
    assert f"verdict         Not fit to ship\n                {summary['verdict']['against'][0]}\n" in said
    assert not Path(noise.models).exists()
    assert (run / "report.html").is_file()
    candidate = ModelBundle.open(run / "candidate").contract
    assert candidate.version == 0
    assert candidate.verdict is not None
    assert candidate.verdict.model_dump(mode="json") == summary["verdict"]

    job.train(noise.model_copy(update={"publish_anyway": True}))  # which does not take it for finished
    assert versions.fetch(noise.models).contract.verdict == candidate.verdict
    assert json.loads((run / "summary.json").read_text())["model"] == f"{noise.models}/1"
    assert not (run / "candidate").exists()
