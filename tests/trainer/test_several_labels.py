"""A multi-label training in this process, from a table to a published model, and what refuses it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from fovea.errors import DataInvalid
from fovea.images.preprocess import decode_image
from fovea.model import versions
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.model.task import selected
from tests.shared import SharedFolder
from tests.trainer.conftest import train_settings
from tests.trainer.exported import charts_left_out, made_once
from trainer import job
from trainer.compare.command import compare
from trainer.config import CompareSettings, EvaluateSettings, ExportSettings, LookSettings, TrainSettings
from trainer.evaluate.command import evaluate
from trainer.evaluate.label_evaluation import LabelEvaluationRecord, check_map
from trainer.explain.command import look
from trainer.images.digit_pairs import write_pairs
from trainer.images.labelling import Labelling
from trainer.images.sources import open_source
from trainer.runs.run_folder import RunFolder

COLOURS = {"red": 0, "green": 1, "blue": 2}


def write_colours(folder: Path, count: int = 72) -> Path:
    """Pictures of noise whose channels are bright where a label says so; every eighth has none."""
    folder.mkdir()
    random, rows = np.random.default_rng(0), ["path,labels,split"]
    for number in range(count):
        has = [label for label, channel in COLOURS.items() if number >> channel & 1]
        pixels = random.integers(0, 60, (32, 32, 3))
        pixels[..., [COLOURS[label] for label in has]] += 150
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{';'.join(has)},{'val' if number >= 48 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def settings_of(table: Path, root: Path, **changes: Any) -> TrainSettings:
    quick = {"arch": "squeezenet1_1", "lr": 3e-3, "epochs": 3, "task": "multi"}
    return train_settings(table, root, **{**quick, **changes})


@pytest.fixture(scope="module")
def several(shared: SharedFolder, exports: Path) -> Path:
    """A folder with colours/labels.csv, runs/a and models/tiny/1. Not to be changed: it is shared."""

    def make(root: Path) -> None:
        root.mkdir()
        with made_once(exports), charts_left_out():
            job.train(settings_of(write_colours(root / "colours"), root))

    return shared.once("several", make)


@pytest.fixture
def bundle(several: Path) -> ModelBundle:
    return versions.fetch(str(several / "models" / "tiny"))


def truth(several: Path, bundle: ModelBundle) -> tuple[np.ndarray, np.ndarray]:
    """Of the held-out files: crops, and 0 or 1 for each label."""
    rows = [line.split(",") for line in (several / "colours" / "labels.csv").read_text().splitlines()[49:]]
    crops = [
        decode_image((several / "colours" / name).read_bytes(), bundle.contract.preprocess)
        for name, *_ in rows
    ]
    marks = [[label in labels.split(";") for label in bundle.contract.labels] for _, labels, _ in rows]
    return np.stack(crops), np.array(marks)


def test_the_released_model_selects_what_its_contract_says(several: Path, bundle: ModelBundle) -> None:
    contract = bundle.contract
    assert (contract.task, contract.format, contract.labels) == ("multi", 2, ("blue", "green", "red"))
    crops, marks = truth(several, bundle)
    chosen = selected(Classifier(bundle, "cpu", 1).classify(crops), contract.thresholds or ())
    assert (chosen == marks).all(1).mean() == pytest.approx(contract.metrics.accuracy)
    assert contract.label_metrics is not None
    assert contract.label_metrics.map > 0.7
    assert (contract.prediction_sets, contract.out_of_distribution, contract.abstain_threshold) == (
        None,
        None,
        0,
    )


def test_its_summary_and_epochs_have_the_figures_of_labels(several: Path, bundle: ModelBundle) -> None:
    summary = json.loads((several / "runs" / "a" / "summary.json").read_text())
    assert bundle.contract.label_metrics is not None
    assert summary["map"] == bundle.contract.label_metrics.map
    assert "majority" not in summary
    epochs = (several / "runs" / "a" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(epochs[-1])["heldout_map"] == pytest.approx(summary["map"], abs=1e-6)


def test_its_report_has_nothing_that_is_of_one_label_alone(several: Path) -> None:
    page = (several / "runs" / "a" / "report.html").read_text()
    for heading in ("Label by label", "What another threshold would do", "Which labels come together"):
        assert heading in page
    for wrong in ("Confusion", "abstaining", "taken for", "Always answering", "Which labels may it be"):
        assert wrong not in page


def evaluated(several: Path, tmp_path: Path, **options: Any) -> dict[str, Any]:
    settings = EvaluateSettings(
        bundle=str(several / "models" / "tiny" / "1"),
        data=str(several / "colours" / "labels.csv"),
        output=tmp_path / "out",
        cache_dir=several / "cache",
        device="cpu",
        threads=1,
        **options,
    )
    evaluate(settings)
    record: dict[str, Any] = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    return record


@pytest.mark.parametrize("options", [{}, {"part": "val"}])
def test_evaluated_on_what_was_held_out_it_is_as_released(
    several: Path, bundle: ModelBundle, tmp_path: Path, options: dict[str, Any]
) -> None:
    record = evaluated(several, tmp_path, **options)
    assert bundle.contract.label_metrics is not None
    assert record["label_metrics"] == bundle.contract.label_metrics.model_dump(mode="json")
    assert record["metrics"] == bundle.contract.metrics.model_dump(mode="json")


def test_an_evaluation_fails_below_the_mean_average_precision_that_was_asked_for(
    several: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataInvalid, match=r"--label-columns violet: .* has no such column"):
        evaluated(several, tmp_path, label_columns=("violet",))
    record = LabelEvaluationRecord.model_validate(evaluated(several, tmp_path))
    worse = record.label_metrics.model_copy(update={"map": 0.5})
    with pytest.raises(DataInvalid, match=r"mean average precision of 50.00% is below --min-accuracy 0.9"):
        check_map(record.model_copy(update={"label_metrics": worse}), 0.9)


def test_what_compares_or_explains_one_class_refuses_it(several: Path, tmp_path: Path) -> None:
    model = str(several / "models" / "tiny" / "1")
    places: dict[str, Any] = {"output": tmp_path, "device": "cpu", "threads": 1}
    with pytest.raises(DataInvalid, match="multi-label model cannot be compared"):
        compare(
            CompareSettings(bundle=model, against=model, data="digits", cache_dir=several / "cache", **places)
        )
    with pytest.raises(DataInvalid, match="a multi-label network"):
        look(LookSettings(run=several / "runs" / "a", image="x.png", output=tmp_path))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"data": "folder"}, "--task multi takes a CSV path,labels"),
        ({"data": ("a.csv", "b.csv")}, "--task multi takes one --data"),
        ({"sampler": "balanced"}, "of multi is --positive-weights balanced"),
        ({"class_weights": "balanced"}, "of multi is --positive-weights balanced"),
        ({"promote": "better"}, "--promote better compares single-label models alone"),
        ({"compare_random_split": True}, "--compare-random-split is of --task single"),
        ({"task": "single", "loss": "asymmetric"}, "--loss is of --task multi"),
        ({"task": "single", "positive_weights": "balanced"}, "--positive-weights is of --task multi"),
        ({"task": "single", "label_columns": ("a",)}, "--label-columns is of --task multi"),
        ({"task": "single", "label_separator": "|"}, "--label-separator is of --task multi"),
        ({"task": "single", "thresholds": "precision"}, "--thresholds is of --task multi"),
    ],
)
def test_options_of_the_other_task_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        TrainSettings(**{"data": "a.csv", "models": "models", "task": "multi", **options})


@pytest.mark.slow
def test_other_precisions_are_released_where_they_lose_little_mean_average_precision(
    several: Path, tmp_path: Path
) -> None:
    run = RunFolder(Path(shutil.copytree(several / "runs" / "a", tmp_path / "run")))
    wanted = {"precisions": ["fp32", "fp16", "int8"], "max_accuracy_drop": 1.0}
    run.write_json("settings.json", run.read_json("settings.json") | wanted)
    models = str(tmp_path / "models" / "v")
    job.export(ExportSettings(run=run.path, models=models, device="cpu", threads=1))
    bundle = versions.fetch(models)
    crops, marks = truth(several, bundle)
    for precision in ("fp16", "int8"):
        variant, classifier = bundle.contract.variants[precision], Classifier(bundle, "cpu", 1, precision)
        assert variant.label_metrics is not None
        assert variant.golden_distances is None
        chosen = selected(classifier.classify(crops), bundle.contract.thresholds or ())
        assert (chosen == marks).all(1).mean() == pytest.approx(variant.metrics.accuracy)


def test_the_digits_in_pairs_are_labelled_by_what_they_show(few_digits: Path, tmp_path: Path) -> None:
    table = write_pairs(few_digits, tmp_path / "pairs")
    split = open_source(
        str(table), val_fraction=0.2, seed=0, cache_dir=tmp_path, labelling=Labelling("multi")
    )
    assert (len(split.train), len(split.heldout)) == (96, 40)
    assert split.labels == ("0", "1")
    assert {len(sample.named) for sample in split.train} == {1, 2}
    assert write_pairs(few_digits, tmp_path / "again").read_bytes() == table.read_bytes()
