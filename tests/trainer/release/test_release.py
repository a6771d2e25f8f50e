"""A release from a run's files to a version, by a network of one convolution that takes no training."""

import json
import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from fovea.errors import BundleInvalid, GateRefused
from fovea.images.preprocess import decode_image
from fovea.model import versions
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.stopping import Stopping
from fovea.truth.sets import draws, label_sets
from tests.tiny import LABELS, SPEC, picture
from tests.trainer.conftest import train_settings
from trainer.config import TrainSettings
from trainer.evaluate.metrics import softmax
from trainer.evaluate.prediction import predict
from trainer.images.audit import AuditRecord
from trainer.images.batches import Images
from trainer.images.data import DataSet
from trainer.images.sources import Sample
from trainer.learning_rate.decision import fixed_rate, write_decision
from trainer.network.checkpoint import Checkpoint
from trainer.network.model import Network
from trainer.release.half import write_fp16
from trainer.release.model_lineage import lineage_of
from trainer.release.publishing import Terms
from trainer.release.release import Released, read_released, release
from trainer.runs.history import FitRecord
from trainer.runs.lineage import RunOrigin
from trainer.runs.run_folder import SUMMARY_FILE, RunFolder
from trainer.summary import (
    SummaryRecord,
    describe,
    describe_finished,
    describe_release,
    is_finished,
    note_export,
)

pytestmark = pytest.mark.usefixtures("known_exports")
OF_EACH = 10


def colour_network(gain: float) -> Network:
    """It looks at the mean colour. With a gain of 1 it is as sure as it should be, with 2 it is too sure."""
    backbone, head = nn.Conv2d(3, 3, 1), nn.Linear(3, 3)
    for layer, weights in ((backbone, torch.eye(3)[:, :, None, None]), (head, gain * torch.eye(3))):
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        layer.weight = nn.Parameter(weights.clone())
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(nn.Sequential(backbone), nn.Sequential(pool, head)).eval()


def images(folder: Path) -> Images:
    """Ten of each colour; one of each is labelled as another."""
    folder.mkdir()
    samples = []
    for place in range(3 * OF_EACH):
        label = LABELS[place // OF_EACH]
        colour = label if place % OF_EACH else LABELS[place // OF_EACH - 1]
        file = folder / f"{place}.PNG"
        file.write_bytes(picture(colour, (24 + place, 30)))
        samples.append(Sample(file, label))
    crops = np.stack([decode_image(sample.read(), SPEC) for sample in samples])
    rows = np.arange(len(samples))
    return Images(crops, rows, rows // OF_EACH, tuple(samples))


@dataclass(frozen=True)
class Trained:
    """What there is when a training has ended."""

    run: RunFolder
    checkpoint: Checkpoint
    data: DataSet
    settings: TrainSettings

    def release(self, terms: Terms) -> Released:
        models = self.settings.models
        return release(self.run, self.checkpoint, self.data, self.settings, models, terms, 1, Stopping())


@pytest.fixture
def ended(tmp_path: Path) -> Trained:
    settings = train_settings(tmp_path, tmp_path, precisions=("fp32", "fp16"))
    heldout, run = images(tmp_path / "heldout"), RunFolder(tmp_path / "runs" / "a")
    classes = {label: {"train": OF_EACH, "heldout": OF_EACH} for label in LABELS}
    RunOrigin(data_digest="d1", weights_sha256=None).write(run)
    write_decision(run, fixed_rate(0.01))
    run.write_json("settings.json", settings.model_dump(mode="json"))
    run.write_record("audit.json", AuditRecord(digest="d1", classes=classes, not_heldout=[], conflicts=[]))
    run.write_record("fit.json", FitRecord(epochs=0, decisions=[], kept_epoch=0, advice="train it"))
    fields: dict[str, Any] = dict.fromkeys(DataSet.__dataclass_fields__)
    fields.update(labels=LABELS, train=heldout, heldout=heldout)
    checkpoint = Checkpoint(colour_network(2), "resnet18", LABELS, SPEC, epochs=0)
    return Trained(run, checkpoint, DataSet(**fields), settings)


def test_a_release_is_whole_and_says_what_the_network_says(ended: Trained) -> None:
    run, models = ended.run, ended.settings.models
    assert read_released(run) is None
    candidate = ended.release(Terms(min_accuracy=0.95))
    assert candidate.uri == str(run.path / "candidate")
    assert candidate.metrics.accuracy == pytest.approx(0.9)
    assert "below --min-accuracy 0.95" in (candidate.refusal or "")
    assert ModelBundle.open(run.path / "candidate").contract.version == 0
    assert read_released(run) is None
    assert not Path(models).exists()
    assert (run.path / "report.html").is_file()

    (run.path / "report.html").unlink()
    released = ended.release(Terms())
    assert (released.uri, released.refusal) == (f"{models}/1", None)
    assert read_released(run) == released
    assert not (run.path / "candidate").exists()
    assert not list(run.path.glob(".staging-*"))
    bundle = versions.fetch(models)
    contract, golden, heldout = bundle.contract, bundle.golden(), ended.data.heldout
    assert list(contract.variants) == ["fp16"]
    assert (contract.metrics, contract.verdict) == (released.metrics, released.opinion)
    assert contract.temperature == pytest.approx(2.05, abs=0.01)
    assert contract.training == lineage_of(run, ended.checkpoint, ended.settings).record()
    recorded = json.loads((run.path / "released.json").read_text())
    assert (recorded["digest"], recorded["temperature"]) == (bundle.digest, contract.temperature)
    assert (bundle.path / "report.html").read_bytes() == (run.path / "report.html").read_bytes()
    assert {"report.html", "golden.npz", "golden/15.png", "model.fp16.onnx"} <= contract.files.keys()

    place_of = {sample.read(): place for place, sample in enumerate(heldout.samples)}
    places = [place_of[file] for file in golden.files]
    assert sorted(Counter(heldout.targets[places].tolist()).values()) == [5, 5, 6]
    assert np.array_equal(golden.crops, heldout.pixels(np.array(places)))
    logits = predict(ended.checkpoint.network, heldout, 16)
    assert golden.probabilities == pytest.approx(softmax(logits / contract.temperature)[places], abs=1e-6)


def test_model_that_is_put_below_candidates_is_not_told_as_published(ended: Trained) -> None:
    run, settings = ended.run, ended.settings.model_copy(update={"precisions": ("fp32",)})
    refused = SummaryRecord(accuracy=0.9, images_heldout=30, model=None, not_published="it is bad", seconds=1)
    run.write_record(SUMMARY_FILE, refused)
    assert not is_finished(run)
    released = replace(ended, settings=settings).release(Terms(promote="never"))
    assert Path(released.uri).parent == Path(settings.models) / "candidates"
    assert read_released(run) == released
    note_export(run, released)
    summary = run.read_record(SUMMARY_FILE, SummaryRecord)
    assert (summary.model, summary.not_published, summary.candidate) == (None, None, released.uri)
    assert is_finished(run)
    put = f"put below candidates/ as {released.uri}"
    assert f"held-out images, {put} (" in describe_finished(run)
    assert describe_release(released, "held-out").startswith(f"{put}: held-out accuracy ")
    fit = run.read_record("fit.json", FitRecord)
    assert f"\nmodel           {put}\n" in describe(summary, fixed_rate(0.01), fit, released)
    published = replace(released, uri=f"{settings.models}/7")
    note_export(run, published)
    summary = run.read_record(SUMMARY_FILE, SummaryRecord)
    assert (summary.model, summary.candidate, published.version) == (published.uri, None, "7")
    assert f", published as {published.uri} (" in describe_finished(run)


def test_a_finished_run_of_several_labels_is_told_with_its_mean_average_precision(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_record(SUMMARY_FILE, SummaryRecord(accuracy=0.4, map=0.9, images_heldout=30, model="models/1"))
    reached = "mean average precision 90.00%, exactly the labels for 40.00% of 30 held-out images"
    assert reached in describe_finished(run)


def test_a_release_tells_strangers_from_images_like_those_it_held_out(ended: Trained) -> None:
    ended.release(Terms(anyway=True))
    bundle = ModelBundle.open(Path(ended.settings.models) / "1")
    novelty, known_classes = bundle.contract.out_of_distribution, bundle.known_classes()
    assert novelty
    assert known_classes
    assert novelty.share == 0.99
    assert novelty.auroc.keys() == {"noise", "inverted", "corrupted"}
    pixels = ended.data.heldout.pixels(slice(None))
    _, embeddings = Classifier(bundle, "cpu", 1).classify_with_embeddings(pixels)
    distances = known_classes.distances(embeddings)
    assert (distances <= novelty.threshold).mean() >= 0.99
    assert novelty.quantiles == pytest.approx(np.quantile(distances, np.linspace(0, 1, 21)), abs=1e-6)
    _, of_half = Classifier(bundle, "cpu", 1, "fp16").classify_with_embeddings(pixels)
    assert of_half == pytest.approx(embeddings, abs=2e-3)
    page = (ended.run.path / "report.html").read_text()
    assert "further away than a held-out image" in page
    assert "How many others of their kind are unknown was not measured" in page


def test_the_figures_are_of_the_test_images_and_all_is_chosen_by_those_held_out(
    ended: Trained, tmp_path: Path
) -> None:
    """Of the test images those alone are right whose label is their colour: 18 of 20, where 27 of 30 were."""
    heldout, chosen = ended.data.heldout, np.arange(0, 20)
    test = Images(heldout.cache, heldout.rows[chosen], heldout.targets[chosen], heldout.samples[:20])
    audit = ended.run.read_json("audit.json")
    audit["classes"] = {label: {**counts, "test": 7} for label, counts in audit["classes"].items()}
    ended.run.write_json("audit.json", audit)
    ended = replace(ended, settings=ended.settings.model_copy(update={"coverage": 0.9}))
    ended.release(Terms(anyway=True))
    replace(ended, data=replace(ended.data, test=test)).release(Terms(anyway=True))
    before, after = (ModelBundle.open(Path(ended.settings.models) / v).contract for v in "12")
    assert (before.measured_on, before.metrics.images) == ("heldout", 30)
    assert (after.measured_on, after.metrics.images, after.metrics.right) == ("test", 20, 18)
    assert after.variants["fp16"].metrics.images == 20
    assert (after.temperature, after.abstain_threshold) == (before.temperature, before.abstain_threshold)
    assert after.files["golden.npz"] == before.files["golden.npz"]
    page = (ended.run.path / "report.html").read_text()
    assert "of 20 test images" in page
    assert "by which nothing was chosen" in page

    chosen_before, novelty = before.out_of_distribution, after.out_of_distribution
    assert chosen_before is not None
    assert novelty is not None
    assert novelty.measured is not None
    assert chosen_before == novelty.model_copy(update={"measured": None})
    released = ModelBundle.open(Path(ended.settings.models) / "2")
    _, embeddings = Classifier(released, "cpu", 1).classify_with_embeddings(test.pixels(slice(None)))
    known_classes = released.known_classes()
    assert known_classes is not None
    unknown = sum(map(novelty.is_unknown, known_classes.distances(embeddings).tolist()))
    assert (novelty.measured.images, novelty.measured.unknown) == (20, unknown)
    assert novelty.measured.auroc.keys() == novelty.auroc.keys()
    assert "further away than a test image" in page

    sets = after.prediction_sets
    assert sets is not None
    assert sets.measured is not None
    assert before.prediction_sets == sets.model_copy(update={"measured": None})
    logits = predict(ended.checkpoint.network, test, 16)
    by_hand = label_sets(softmax(logits / after.temperature), draws(test.pixels(slice(None))), sets.quantile)
    holds = [target in labels for target, labels in zip(test.targets, by_hand, strict=True)]
    assert (sets.coverage, sets.measured.images, sets.measured.covered) == (0.9, 20, sum(holds))
    assert (sets.measured.empty, sets.measured.mean_size) == (by_hand.count([]), sum(map(len, by_hand)) / 20)
    assert after.sets_of("fp16") != sets
    assert "Sets of labels. They hold the truth" in page


def test_too_few_held_out_images_for_the_coverage_give_no_sets(
    ended: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ended.settings.model_copy(update={"coverage": 0.99, "precisions": ("fp32",)})
    replace(ended, settings=settings).release(Terms(anyway=True))
    assert ModelBundle.open(Path(settings.models) / "1").contract.prediction_sets is None
    why = "there are no prediction sets: 30 held-out images are too few for --coverage 0.99, which takes 99"
    assert why in caplog.text
    assert why in (ended.run.path / "report.html").read_text()


def test_a_model_that_the_gate_refuses_leaves_nothing(
    ended: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    """Its files are not those any longer that it was measured on."""
    ended.data.heldout.samples[-1].path.write_bytes(picture((9, 9, 9)))
    before = sorted(path.name for path in ended.run.path.iterdir())
    caplog.set_level(logging.INFO, "trainer.release.release")
    for gain, said in (
        (2, []),
        (1, ["the temperature stays 1: the fitted one, 1.03, makes the calibration error worse"]),
    ):
        caplog.clear()
        checkpoint = replace(ended.checkpoint, network=colour_network(gain))
        with pytest.raises(GateRefused, match=r"29\.PNG decodes to other pixels"):
            replace(ended, checkpoint=checkpoint).release(Terms(anyway=True))
        assert [r.getMessage() for r in caplog.records if r.name == "trainer.release.release"] == said
        assert sorted(path.name for path in ended.run.path.iterdir()) == before
    assert not Path(ended.settings.models).exists()


def test_ruined_variant_is_left_out_and_the_rest_is_released(
    ended: Trained, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def ruin(model: Path, target: Path) -> None:
        write_fp16(model, target)
        variant = onnx.load(target)
        for tensor in variant.graph.initializer:
            if len(tensor.dims) == 4:
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
        onnx.save(variant, target)

    monkeypatch.setattr("trainer.release.variants.write_fp16", ruin)
    options = {"precisions": ("fp32", "fp16", "int8"), "max_accuracy_drop": 0.05}
    replace(ended, settings=ended.settings.model_copy(update=options)).release(Terms(anyway=True))
    released = versions.fetch(ended.settings.models)
    assert "fp16 is left out of the release: its held-out accuracy is" in caplog.text
    assert list(released.contract.variants) == ["int8"]
    assert "model.fp16.onnx" not in released.contract.files
    assert "left out: its held-out accuracy is" in (ended.run.path / "report.html").read_text()
    with pytest.raises(BundleInvalid, match="has no fp16 model"):
        Classifier(released, "cpu", 1, precision="fp16")
