"""`train --promote better|never`: a worse model does not get in, and says so with the numbers."""

import json
from pathlib import Path

import pytest

from fovea.errors import BundleInvalid, DataInvalid, SettingsInvalid, Unavailable
from fovea.model import versions
from fovea.stores.storage import open_folder
from tests import tiny
from tests.buckets import Bucket
from tests.trainer.compare.made import SWAPPED, publish, write_images
from tests.trainer.conftest import train_settings
from trainer import job
from trainer.compare.weighing import Guard, Labelled
from trainer.config import ExportSettings
from trainer.images.sources import open_heldout
from trainer.release.beside_latest import Beside, beside_latest
from trainer.release.publishing import UNGUARDED, Terms
from trainer.release.release import _where_to

QUICK = {"arch": "squeezenet1_1", "batch_size": 8, "epochs": 4}


@pytest.mark.slow
@pytest.mark.usefixtures("known_exports")
def test_worse_training_lands_below_candidates_and_a_better_one_is_the_latest(
    few_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = open_folder(str(tmp_path / "models" / "tiny"))
    trained = {**QUICK, "lr": 1e-3, "promote": "better"}
    job.train(train_settings(few_digits, tmp_path, **trained))
    assert versions.look(models).standing.number == versions.latest(models) == 1

    untrained = {**QUICK, "epochs": 1, "lr": 1e-9, "promote": "better", "guard_class": ("0", "1")}
    refused = r"does not become the latest: it is worse than version 1: its accuracy is worse: "
    with pytest.raises(DataInvalid, match=refused) as said:
        job.train(train_settings(few_digits, tmp_path, run_id="b", **untrained))
    candidate = str(said.value).rpartition(" ")[2]
    assert Path(candidate).parent == tmp_path / "models" / "tiny" / "candidates"
    summary = json.loads((tmp_path / "runs" / "b" / "summary.json").read_text())
    assert (summary["model"], summary["candidate"]) == (None, candidate)
    assert (versions.latest(models), versions.published(models)) == (1, [1])

    job.train(train_settings(few_digits, tmp_path, run_id="c", **{**trained, "promote": "never"}))
    summary = json.loads((tmp_path / "runs" / "c" / "summary.json").read_text())
    assert summary["model"] is None
    assert Path(summary["candidate"]).parent == Path(candidate).parent
    assert versions.published(models) == [1]


def test_model_that_cannot_be_weighed_is_a_candidate(tmp_path: Path) -> None:
    """Hours of training are not lost because the latest has other classes, or is damaged."""
    models = tmp_path / "tiny"
    publish(models, tmp_path / "staged", ("cat", "dog", "elk"))
    new = tiny.stage_bundle(tmp_path / "new")
    terms = Terms(promote="better")
    folder, cache = str(write_images(tmp_path / "images")), tmp_path / "cache"
    images = Labelled(folder, open_heldout(folder, cache, tiny.LABELS).samples, 0.0, cache)
    beside = beside_latest(new, str(models), terms.guard, images, 1, decides=True, corrected=False)
    put = _where_to(new, str(models), terms, beside, images, 1)()
    assert put.refusal is not None
    assert put.refusal.startswith("it cannot be compared with the latest: ")
    assert Path(put.uri).parent == models / "candidates"


def test_export_does_as_its_run_unless_told_otherwise(few_digits: Path, tmp_path: Path) -> None:
    run = train_settings(few_digits, tmp_path, promote="better", guard_class=("1",), confidence=0.9)
    told = ExportSettings(run=tmp_path, models="models", promote="always")
    silent = ExportSettings(run=tmp_path, models="models")
    assert Terms.of(silent, run).promote == "better"
    assert Terms.of(silent, run).guard == Guard(0.9, ("1",))
    assert Terms.of(told, run).promote == "always"
    assert Terms.of(silent).promote == "always"


def test_each_term_of_an_export_is_its_own_or_else_its_runs(few_digits: Path, tmp_path: Path) -> None:
    run = train_settings(few_digits, tmp_path, promote="better", guard_class=("1",), confidence=0.9)
    for given, guard in (
        ({"promote": "better"}, Guard(0.9, ("1",))),
        ({"confidence": 0.99}, Guard(0.99, ("1",))),
        ({"guard_class": ("0",)}, Guard(0.9, ("0",))),
        ({"guard_class": ("0",), "confidence": 0.95}, Guard(0.95, ("0",))),
    ):
        terms = Terms.of(ExportSettings(run=tmp_path, models="models", **given), run)
        assert (terms.promote, terms.guard) == ("better", guard), given
    unguarded = train_settings(few_digits, tmp_path)
    better = ExportSettings(run=tmp_path, models="models", promote="better", guard_class=("0",))
    assert Terms.of(better, unguarded).guard == Guard(0.95, ("0",))


def test_an_export_refuses_a_guard_in_vain(few_digits: Path, tmp_path: Path) -> None:
    run = train_settings(few_digits, tmp_path, promote="better", guard_class=("1",))
    for promote in ("always", "never"):
        given = ExportSettings(run=tmp_path, models="models", promote=promote, guard_class=("0",))
        with pytest.raises(SettingsInvalid, match=f"--guard-class is of --promote better, not of {promote}"):
            Terms.of(given, run)
        assert (
            Terms.of(ExportSettings(run=tmp_path, models="models", promote=promote), run).promote == promote
        )
    with pytest.raises(SettingsInvalid, match="not of always"):
        Terms.of(
            ExportSettings(run=tmp_path, models="models", guard_class=("0",)),
            train_settings(few_digits, tmp_path),
        )


def test_corrected_labels_have_the_latest_compared_and_nothing_hinders_them(
    tmp_path: Path, bucket: Bucket
) -> None:
    models, folder = tmp_path / "tiny", str(write_images(tmp_path / "images"))
    publish(models, tmp_path / "staged", SWAPPED)
    new = tiny.stage_bundle(tmp_path / "new")
    images = Labelled(folder, open_heldout(folder, tmp_path, tiny.LABELS).samples, 0.0, tmp_path / "cache")

    def beside(uri: str, *, decides: bool = False, corrected: bool = True) -> Beside:
        return beside_latest(new, uri, UNGUARDED, images, 1, decides=decides, corrected=corrected)

    weighed = beside(str(models)).weighed
    assert weighed is not None
    assert weighed.found is not None
    assert (weighed.against, weighed.found.overall.fixed) == (1, 20)
    assert beside(str(models), corrected=False) == Beside()
    (models / "1" / "model.onnx").write_bytes(b"damaged")
    assert isinstance(beside(str(models)).error, BundleInvalid)
    bucket.remove()
    assert beside(f"{bucket.uri}/models").error is not None
    with pytest.raises(Unavailable):
        beside(f"{bucket.uri}/models", decides=True)
