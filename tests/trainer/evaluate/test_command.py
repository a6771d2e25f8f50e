"""`evaluate`: a released model on other images than it was measured on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.errors import BundleInvalid, DataInvalid
from fovea.images.preprocess import decode_image
from fovea.model import versions
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from tests.buckets import Bucket
from tests.tiny import picture, publish_bundle
from tests.trainer.report.test_verdict import of
from trainer.config import EvaluateSettings
from trainer.evaluate import command
from trainer.evaluate.beside_release import beside_release, change
from trainer.evaluate.metrics import accuracy_interval
from trainer.images.digests import content_digests, data_digest
from trainer.images.sources import open_source

COLOURS = ("blue", "green", "red")
"""The tiny model names an image's strongest colour."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    publish_bundle(tmp_path / "models" / "colours", tmp_path / "staged")
    return tmp_path / "models" / "colours" / "1"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Ten of each colour; two red ones lie under blue."""
    for label in COLOURS:
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(10):
            colour = "red" if label == "blue" and index < 2 else label
            (tmp_path / "images" / label / f"{index}.png").write_bytes(picture(colour, (50 + index, 40)))
    return tmp_path / "images"


def _evaluate(model: Path | str, images: Path | str, tmp_path: Path, **options: Any) -> dict[str, Any]:
    settings = EvaluateSettings(
        bundle=str(model),
        data=str(images),
        output=tmp_path / "out",
        cache_dir=tmp_path / "cache",
        device="cpu",
        threads=1,
        **options,
    )
    command.evaluate(settings)
    record: dict[str, Any] = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    return record


def test_labels_of_the_tiny_model_are_those_of_the_images(model: Path) -> None:
    assert set(ModelBundle.open(model).contract.labels) == set(COLOURS)


def test_accuracy_is_counted_to_the_image_with_its_interval(
    model: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = _evaluate(model, images, tmp_path)
    assert (record["right"], record["metrics"]["images"]) == (28, 30)
    assert tuple(record["accuracy_interval_95"]) == accuracy_interval(28, 30)
    said = capsys.readouterr().out
    assert said.startswith("colours version 1, fp32: 93.33% of 30 images right (95 % confidence interval 78.")
    assert "at its release 100.00% of 12 images right" in said
    assert "blue taken for red (2)" in said
    assert str(tmp_path / "out" / "evaluation.json") in said


def test_difference_of_two_shares_has_newcombes_interval() -> None:
    """Newcombe 1998, Statistics in Medicine 17:873-890, table II: contrasts (a) and (b), method 10."""
    for counts, low, high in (((56, 70, 48, 80), 0.0524, 0.3339), ((9, 10, 3, 10), 0.1705, 0.8090)):
        difference = change(*counts)
        assert difference.interval == pytest.approx((low, high), abs=1e-4)
        assert difference.is_beyond_chance
        released, images = counts[2:], counts[:2]
        back = change(*released, *images).interval
        assert back == pytest.approx((-high, -low), abs=1e-4)
    assert not change(10, 20, 12, 20).is_beyond_chance


def test_images_of_another_kind_are_told_from_chance(
    model: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = _evaluate(model, images, tmp_path)
    assert record["beside_release"]["accuracy"]["beyond_chance"] is False
    assert record["beside_release"]["abstained"] is None  # the tiny model does not tell how often it did
    assert "no further from its accuracy at the release than chance may give" in capsys.readouterr().out
    for label, other in (("blue", "red"), ("red", "green")):
        for index in range(10):
            (images / label / f"{index}.png").write_bytes(picture(other, (50 + index, 40)))
    accuracy = _evaluate(model, images, tmp_path)["beside_release"]["accuracy"]
    assert (accuracy["released"], accuracy["found"], accuracy["beyond_chance"]) == (
        1,
        pytest.approx(1 / 3),
        True,
    )
    said = capsys.readouterr().out
    assert "It is right less often than at its release, further than chance gives: 66.7 points (95 %" in said
    assert "macro recall 33.33%; always answering red is right for 33.33%" in said


def test_more_abstentions_than_at_the_release_are_told() -> None:
    released = of((50, 0), (0, 50)).model_copy(update={"abstained": 3})
    here = of((50, 0), (0, 50)).model_copy(update={"abstained": 60})
    beside = beside_release(here, released)
    assert "It abstains on 60.0% of these images, at its release on 3.0%, further than" in beside.words()[-1]
    assert beside.abstained is not None
    assert beside.abstained.is_beyond_chance
    assert len(beside_release(released, released).words()) == 1


def test_of_several_labels_the_accuracy_is_told_as_whole_sets() -> None:
    released, worse = of((50, 0), (0, 50)), of((50, 0), (40, 10))
    (same,) = beside_release(released, released).words(of_labels=True)
    assert (
        same == "How often it gives exactly the labels is no further from its release than chance may give."
    )
    fewer, _ = beside_release(worse, released).words(of_labels=True)
    assert fewer.startswith("It gives exactly the labels less often than at its release, further than chance")


def test_answers_are_those_that_the_server_gives(model: Path, images: Path, tmp_path: Path) -> None:
    bundle = ModelBundle.open(model)
    classifier = Classifier(bundle, "cpu", 1)
    crop = decode_image((images / "blue" / "0.png").read_bytes(), bundle.contract.preprocess)
    probabilities = classifier.classify(crop[None])[0]
    worst = _evaluate(model, images, tmp_path)["worst"]
    (answer,) = (a for a in worst if a["path"].endswith("blue/0.png"))
    assert answer["predicted"] == "red"
    assert answer["probability"] == pytest.approx(probabilities.max(), abs=1e-6)
    truth = bundle.contract.labels.index("blue")
    assert answer["probability_of_truth"] == pytest.approx(probabilities[truth], abs=1e-6)


def test_record_holds_confusion_classes_calibration_and_the_worst_images(
    model: Path, images: Path, tmp_path: Path
) -> None:
    record = _evaluate(model, images, tmp_path)
    assert {"truth": "blue", "predicted": "red", "images": 2} in record["confusion"]
    assert sum(cell["images"] for cell in record["confusion"]) == 30
    assert record["metrics"]["per_class"]["blue"]["recall"] == pytest.approx(0.8)
    assert record["metrics"]["per_class"]["red"]["precision"] == pytest.approx(10 / 12)
    assert sum(entry["images"] for entry in record["reliability"]) == 30
    assert record["kept"] == _kept_by_hand(model, images)
    ranked = [answer["probability_of_truth"] for answer in record["worst"]]
    assert len(ranked) == 2
    assert ranked == sorted(ranked)
    assert record["model"]["digest"] == ModelBundle.open(model).digest


def test_record_has_the_keys_that_it_always_had_in_their_order(
    model: Path, images: Path, tmp_path: Path
) -> None:
    (images / "blue" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (images / "notes.txt").write_text("not taken")
    record = _evaluate(model, images, tmp_path, max_bad_fraction=1)
    keys = "settings model metrics right accuracy_interval_95 macro_recall majority beside_release labels"
    more = "confusion most_confused reliability kept worst quarantined not_taken corrections captures"
    assert " ".join(record) == f"{keys} {more}"
    assert {name: " ".join(part) for name, part in record.items() if isinstance(part, dict)} == {
        "settings": " ".join(record["settings"]),
        "model": "name version precision provider digest",
        "metrics": "images accuracy loss ece per_class confidences abstained right_by_confidence",
        "majority": "label accuracy",
        "beside_release": "accuracy abstained words",
        "kept": "threshold images right",
        "not_taken": ".txt",
    }
    assert {name: " ".join(part[0]) for name, part in record.items() if name in LISTED} == {
        "confusion": "truth predicted images",
        "most_confused": "truth predicted count",
        "reliability": "low high images confidence accuracy",
        "worst": "path truth predicted probability probability_of_truth",
        "quarantined": "path reason",
    }
    assert " ".join(record["beside_release"]["accuracy"]) == "released found interval beyond_chance"
    assert record["not_taken"] == {".txt": {"files": 1, "names": ["notes.txt"]}}


LISTED = {"confusion", "most_confused", "reliability", "worst", "quarantined"}


def _kept_by_hand(model: Path, images: Path) -> dict[str, float]:
    bundle = ModelBundle.open(model)
    files = sorted(images.rglob("*.png"))
    crops = np.stack([decode_image(file.read_bytes(), bundle.contract.preprocess) for file in files])
    probabilities = Classifier(bundle, "cpu", 1).classify(crops)
    threshold = bundle.contract.abstain_threshold
    answered = [(file, row) for file, row in zip(files, probabilities, strict=True) if row.max() >= threshold]
    right = sum(bundle.contract.labels[row.argmax()] == file.parent.name for file, row in answered)
    return {"threshold": threshold, "images": len(answered), "right": right}


def test_worst_class_is_printed_first(
    model: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _evaluate(model, images, tmp_path)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    header = lines.index(["class", "images", "precision", "recall"])
    rows = lines[header + 1 : header + 4]
    assert rows[0] == ["blue", "10", "100.0%", "80.0%"]
    assert {row[0] for row in rows} == set(COLOURS)


def test_other_precision_is_measured_beside_its_own_release(
    released_precisions: Path, few_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which says that int8 was measured on one image less than fp32."""
    model = shutil.copytree(released_precisions / "models" / "v" / "1", tmp_path / "model")
    described = json.loads((model / "bundle.json").read_text())
    described["variants"]["int8"]["metrics"]["images"] = 19
    (model / "bundle.json").write_text(json.dumps(described))
    record = _evaluate(model, few_digits / "val", tmp_path, precision="int8")
    contract = ModelBundle.open(model).contract
    metrics = contract.variants["int8"].metrics
    assert record["metrics"]["loss"] == pytest.approx(metrics.loss)
    assert metrics.loss != pytest.approx(contract.metrics.loss)
    assert record["model"]["digest"] == contract.files["model.int8.onnx"]
    assert f"at its release {metrics.accuracy:.2%} of 19 images right" in capsys.readouterr().out


def test_images_that_the_model_was_trained_on_flatter_it(
    trained: Path, few_digits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained / "models" / "tiny" / "1", model)
    contract = json.loads((model / "bundle.json").read_text())
    contract["training"]["settings"]["data"] = str(few_digits / "train")
    (model / "bundle.json").write_text(json.dumps(contract))
    _evaluate(model, few_digits / "train", tmp_path)
    assert "train: the accuracy flatters it" in caplog.text
    caplog.clear()
    _evaluate(model, few_digits, tmp_path)
    assert "flatters" not in caplog.text


def test_test_part_of_a_split_is_taken_before_any_other(model: Path, images: Path, tmp_path: Path) -> None:
    for part, count in (("train", 4), ("val", 3), ("test", 2)):
        for label in COLOURS:
            (tmp_path / "split" / part / label).mkdir(parents=True)
            for index in range(count):
                shutil.copy(images / label / f"{index}.png", tmp_path / "split" / part / label)
    assert _evaluate(model, tmp_path / "split", tmp_path)["metrics"]["images"] == 6
    rows = [f"images/red/{i}.png,red,{part}" for i, part in enumerate(["train", "val", "val", "test"])]
    (tmp_path / "set.csv").write_text("\n".join(["path,label,split", *rows]))
    assert _evaluate(model, tmp_path / "set.csv", tmp_path)["metrics"]["images"] == 1


def test_record_of_other_images_does_not_outlive_a_refusal(model: Path, images: Path, tmp_path: Path) -> None:
    _evaluate(model, images, tmp_path)
    (images / "green").rename(images / "mauve")
    with pytest.raises(DataInvalid):
        _evaluate(model, images, tmp_path)
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_accuracy_below_the_least_is_refused_after_all_is_written(
    model: Path, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataInvalid, match=r"accuracy of 93\.33% is below --min-accuracy 0\.95"):
        _evaluate(model, images, tmp_path, min_accuracy=0.95)
    assert (tmp_path / "out" / "evaluation.json").is_file()
    _evaluate(model, images, tmp_path, min_accuracy=28 / 30)


def test_what_is_not_taken_is_said_and_recorded_and_a_label_that_is_alike_is_named(
    model: Path, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (images / "red" / "IMG_1.MOV").write_bytes(b"")
    (images / "red").rename(images / "red ")
    record = _evaluate(model, images, tmp_path)
    assert record["metrics"]["images"] == 30
    assert record["not_taken"] == {".mov": {"files": 1, "names": ["red /IMG_1.MOV"]}}
    assert "files not taken: 1 .mov (red /IMG_1.MOV)" in caplog.text
    (images / "red ").rename(images / "Red")
    with pytest.raises(DataInvalid, match=r"has no class 'Red'.*; 'red' may be meant"):
        _evaluate(model, images, tmp_path)


def test_some_classes_are_enough(model: Path, images: Path, tmp_path: Path) -> None:
    shutil.rmtree(images / "green")
    record = _evaluate(model, images, tmp_path)
    assert record["metrics"]["per_class"]["green"]["images"] == 0


def test_one_class_is_enough(model: Path, images: Path, tmp_path: Path) -> None:
    for label in ("green", "blue"):
        shutil.rmtree(images / label)
    assert _evaluate(model, images, tmp_path)["right"] == 10


def test_how_a_table_tells_several_labels_is_no_matter_of_one_label(
    model: Path, images: Path, tmp_path: Path
) -> None:
    for options in ({"label_separator": "|"}, {"label_columns": ("red",)}):
        with pytest.raises(DataInvalid, match="--label-columns are of a multi-label model"):
            _evaluate(model, images, tmp_path, **options)


def test_class_that_the_model_does_not_know_is_refused_by_name(
    model: Path, images: Path, tmp_path: Path
) -> None:
    (images / "green").rename(images / "mauve")
    with pytest.raises(DataInvalid, match=r"has no class 'mauve', .*\(it has .*red"):
        _evaluate(model, images, tmp_path)


def test_images_that_a_split_marks_for_training_are_left_out(
    model: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(images, tmp_path / "split" / "train")
    for label in COLOURS:
        (tmp_path / "split" / "val" / label).mkdir(parents=True)
        shutil.copy(images / label / "9.png", tmp_path / "split" / "val" / label)
    assert _evaluate(model, tmp_path / "split", tmp_path)["metrics"]["images"] == 3


def test_csv_that_holds_nothing_out_is_refused(model: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("path,label,split\nimages/red/1.png,red,train\n")
    with pytest.raises(DataInvalid, match="its split holds no image out"):
        _evaluate(model, tmp_path / "all.csv", tmp_path)


def test_damaged_files_are_named_and_counted_nowhere_else(
    model: Path, images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (images / "red" / "broken.png").write_bytes(b"broken")
    record = _evaluate(model, images, tmp_path, max_bad_fraction=0.1)
    assert record["metrics"]["images"] == 30
    (bad,) = record["quarantined"]
    assert bad["path"].endswith("red/broken.png")
    assert "images left out: 1; the first is" in caplog.text
    with pytest.raises(DataInvalid, match=r"1 of 31 images cannot be used.*red/broken\.png: "):
        _evaluate(model, images, tmp_path)


def test_only_damaged_files_are_no_data(model: Path, tmp_path: Path) -> None:
    (tmp_path / "images" / "red").mkdir(parents=True)
    (tmp_path / "images" / "red" / "0.png").write_bytes(b"")
    with pytest.raises(DataInvalid, match="1 of 1 images cannot be used"):
        _evaluate(model, tmp_path / "images", tmp_path, max_bad_fraction=1)


def test_model_folder_stands_for_its_latest_version(model: Path, images: Path, tmp_path: Path) -> None:
    publish_bundle(model.parent, tmp_path / "staged-2")
    assert _evaluate(model.parent, images, tmp_path)["model"]["version"] == 2
    assert _evaluate(model, images, tmp_path)["model"]["version"] == 1


def test_model_and_images_may_lie_in_a_bucket(
    model: Path, images: Path, tmp_path: Path, bucket: Bucket
) -> None:
    bucket.put_folder("models/colours", model.parent)
    bucket.put_folder("images", images)
    for uri in (f"{bucket.uri}/models/colours", f"{bucket.uri}/models/colours/1"):
        assert _evaluate(uri, f"{bucket.uri}/images", tmp_path)["right"] == 28


def test_precision_that_was_not_released_is_refused(model: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match="has no int8 model"):
        _evaluate(model, images, tmp_path, precision="int8")


def test_accuracy_on_the_heldout_images_is_the_one_of_the_release(
    trained: Path, few_digits: Path, tmp_path: Path
) -> None:
    model = trained / "models" / "tiny" / "1"
    record = _evaluate(model, few_digits / "val", tmp_path)
    assert record["metrics"]["accuracy"] == ModelBundle.open(model).contract.metrics.accuracy
    assert np.isclose(record["metrics"]["loss"], versions.open_bundle(str(model)).contract.metrics.loss)


def _known_by_its_data(model: Path, data: Path, **how: Any) -> Path:
    """The model as if it had been trained on `data`, split so."""
    split = open_source(str(data), cache_dir=data.parent, **{"val_fraction": 0.2, "seed": 0, **how})
    parts = [part for part in (split.train, split.heldout, split.test) if part]
    digest = data_digest((part, content_digests(part, 1)) for part in parts)
    contract = json.loads((model / "bundle.json").read_text())
    contract["training"] = {"data_digest": digest, "settings": {"data": str(data), **how}}
    (model / "bundle.json").write_text(json.dumps(contract))
    return model


def test_part_takes_what_the_training_of_the_model_held_out_or_tested_on(
    model: Path, images: Path, tmp_path: Path
) -> None:
    _known_by_its_data(model, images, test_fraction=0.3, seed=7)
    split = open_source(str(images), val_fraction=0.2, test_fraction=0.3, seed=7, cache_dir=tmp_path)
    for part, samples in (("val", split.heldout), ("test", split.test)):
        record = _evaluate(model, images, tmp_path, part=part)
        right = sum(sample.label != "blue" or int(sample.path.stem) > 1 for sample in samples)
        assert (record["metrics"]["images"], record["right"]) == (len(samples), right)
    assert record["settings"]["part"] == "test"


def test_part_of_other_images_or_of_none_is_refused(model: Path, images: Path, tmp_path: Path) -> None:
    _known_by_its_data(model, images)
    with pytest.raises(DataInvalid, match="--part test: the model's training had no such part"):
        _evaluate(model, images, tmp_path, part="test")
    (images / "red" / "0.png").write_bytes(picture("red", (77, 40)))
    with pytest.raises(
        DataInvalid, match=r"--part val: .* does not give the images and labels that the model was"
    ):
        _evaluate(model, images, tmp_path, part="val")
