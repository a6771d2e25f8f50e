"""Each way to ask a multi-label model says the same of each image, to the bit: the bundle, the server by all
its protocols, the client and its command, and the scorer's rows."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest

from fovea.capture.reading import read_captures
from fovea.client import Classification, Client
from fovea.errors import SettingsInvalid
from fovea.images.preprocess import decode_image
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.model.task import selected
from fovea.oip import open_inference_pb2 as oip
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from scorer.run import score
from tests import tiny
from tests.scorer.runs import read_rows, settings_for
from tests.server.http.calls import form, post, request
from tests.server.http.rest_calls import Rest, tensors_of, tensors_of_message
from tests.server.oip_calls import of_images, of_pixels, wanting
from tests.servers import ServerProcess, running_server
from tests.test_end_to_end import program

IMAGES = {
    f"{name}.png": tiny.picture(name) for name in ("red", "green", "blue", "yellow", "white", "black")
} | {"teal.jpg": tiny.picture((90, 160, 140), kind="JPEG")}
FILES = list(IMAGES.values())
LABELS = len(tiny.LABELS)


class Said(NamedTuple):
    """Of one image: each label that it has and each that there is, with their probabilities, best first."""

    selected: list[tuple[str, float]]
    all: list[tuple[str, float]]

    def odds_of(self, label: str) -> float:
        """That it is selected, which at its threshold are even."""
        p, t = dict(self.all)[label], tiny.THRESHOLDS[tiny.LABELS.index(label)]
        return p / (1 - p) * (1 - t) / t


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("multi")
    tiny.publish_bundle(root / "models" / "tiny", root / "staging", multi=True, embeds=True)
    return root / "models" / "tiny"


@pytest.fixture(scope="module")
def own(models: Path) -> list[Said]:
    """What the bundle says, opened directly; each number of labels is among it."""
    classifier = Classifier(ModelBundle.open(models / "1"), "cpu", 1)
    crops = np.stack([decode_image(image, tiny.SPEC) for image in FILES])
    said = []
    for row in classifier.classify(crops):
        best = sorted(zip(tiny.LABELS, row.tolist(), strict=True), key=lambda each: -each[1])
        has = dict(zip(tiny.LABELS, selected(row, tiny.THRESHOLDS).tolist(), strict=True))
        said.append(Said([each for each in best if has[each[0]]], best))
    assert {len(each.selected) for each in said} == {0, 1, 2, 3}
    return said


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[ServerProcess]:
    with running_server(models) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.target) as connected:
        yield connected


def of_message(response: pb.ClassifyResponse) -> Said:
    assert response.HasField("selected")
    assert not response.abstained
    return Said(_pairs(response.selected.labels), _pairs(response.predictions))


def of_client(answer: object) -> Said:
    assert isinstance(answer, Classification)
    assert answer.selected is not None
    return Said(_pairs(answer.selected), _pairs(answer.predictions))


def of_json(answer: dict[str, Any]) -> Said:
    assert answer["abstained"] is False
    told = (answer["selected"]["labels"], answer["predictions"])
    return Said(*([(each["label"], each["probability"]) for each in some] for some in told))


def _pairs(predictions: Iterable[Any]) -> list[tuple[str, float]]:
    return [(each.label, each.probability) for each in predictions]


def test_by_grpc_one_by_one_in_a_batch_and_in_a_stream(channel: grpc.Channel, own: list[Said]) -> None:
    stub = ClassifierStub(channel)
    lone = [stub.Classify(pb.ClassifyRequest(image=image, top_k=LABELS)) for image in FILES]
    assert list(map(of_message, lone)) == own
    batch = stub.ClassifyBatch(pb.ClassifyBatchRequest(images=FILES, top_k=LABELS)).results
    assert [of_message(each.response) for each in batch] == own
    asked = (
        pb.ClassifyRequest(image=image, top_k=LABELS, request_id=str(number))
        for number, image in enumerate(FILES)
    )
    streamed = sorted(stub.ClassifyStream(asked), key=lambda answer: int(answer.request_id))
    assert [of_message(each.response) for each in streamed] == own


def test_what_is_selected_does_not_depend_on_what_else_is_asked_for(
    channel: grpc.Channel, own: list[Said]
) -> None:
    for image, said in zip(FILES, own, strict=True):
        asked = pb.ClassifyRequest(image=image, min_probability=0.999)
        answer = of_message(ClassifierStub(channel).Classify(asked))
        assert answer.selected == said.selected
        assert answer.all == [each for each in said.all[:1] if each[1] >= 0.999]


def test_over_http(server: ServerProcess, own: list[Said]) -> None:
    lone = [post(server, f"/v1/classify?top_k={LABELS}", image).json for image in FILES]
    assert list(map(of_json, lone)) == own
    body, headers = form(FILES)
    batch = post(server, f"/v1/classify_batch?top_k={LABELS}", body, **headers).json["results"]
    assert [of_json(each["response"]) for each in batch] == own


def test_by_the_client_and_its_command(server: ServerProcess, own: list[Said], tmp_path: Path) -> None:
    with Client(server.target) as client:
        assert list(map(of_client, client.classify_many(FILES, top_k=LABELS))) == own
    names = []
    for name in ("yellow.png", "black.png"):
        names.append(str(tmp_path / name))
        (tmp_path / name).write_bytes(IMAGES[name])
    command = [sys.executable, "-m", "fovea.client", *names, "--target", server.target]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    (red, green, blue), black = (
        [f"{p:.3f}" for _, p in own[FILES.index(IMAGES[name])].all] for name in ("yellow.png", "black.png")
    )
    assert [line.split()[1:] for line in table[1:]] == [
        ["red,", "green", f"{red},", green, "blue", blue],
        ["none", "green", f"{black[0]},", "red", f"{black[1]},", "blue", black[2]],
    ]
    lines = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    told = [json.loads(line) for line in lines.splitlines()]
    assert [[each["label"] for each in line["selected"]] for line in told] == [["red", "green"], []]


def test_by_the_open_inference_protocol(
    server: ServerProcess, channel: grpc.Channel, own: list[Said]
) -> None:
    inference, rest = GRPCInferenceServiceStub(channel), Rest(server)
    crops = np.stack([decode_image(image, tiny.SPEC) for image in FILES])
    for asked in (of_images(FILES), of_pixels(crops)):
        for tensors in (
            tensors_of_message(inference.ModelInfer(asked)),
            tensors_of(rest.infer(asked)),
            tensors_of(rest.infer(asked, binary_data_output=True)),
        ):
            assert list(tensors) == ["probabilities", "logits", "label", "selected"]
            assert tensors["selected"][:2] == ("BOOL", [len(FILES), LABELS])
            assert of_tensors(tensors) == own
    lone = tensors_of_message(inference.ModelInfer(wanting(of_images(FILES), "selected")))
    assert list(lone) == ["selected"]
    metadata = inference.ModelMetadata(oip.ModelMetadataRequest(name="tiny"))
    described = {each.name: (each.datatype, [*each.shape]) for each in metadata.outputs}
    assert described["selected"] == ("BOOL", [-1, LABELS])
    assert "distance" not in described
    assert metadata.properties["task"] == "multi"
    rest.close()


def of_tensors(tensors: dict[str, tuple[str, list[int], list[Any]]]) -> list[Said]:
    _, shape, values = tensors["probabilities"]
    said = []
    rows = zip(
        *(np.reshape(values, shape), np.reshape(tensors["selected"][2], shape), tensors["label"][2]),
        strict=True,
    )
    for row, has, best in rows:
        order = np.argsort(-row, kind="stable").tolist()
        ranked = [(tiny.LABELS[index], float(row[index])) for index in order]
        assert best == ranked[0][0]
        said.append(Said([each for each, index in zip(ranked, order, strict=True) if has[index]], ranked))
    return said


def test_by_the_scorer(models: Path, own: list[Said], tmp_path: Path) -> None:
    write(tmp_path / "photos", IMAGES)
    (tmp_path / "photos" / "bad.png").write_bytes(b"no image")
    captures = ("--capture", str(tmp_path / "captures"), "--capture-share", "1")
    score(settings_for(tmp_path / "photos", models, tmp_path / "output", *captures))
    rows = {row["key"]: row for row in read_rows(tmp_path / "output")}
    bad = rows.pop("bad.png")
    assert {bad[name] for name in ("labels", "probabilities", "top_labels")} == {None}
    assert not {"label", "probability", "abstained"} & bad.keys()
    assert {key: of_row(row) for key, row in rows.items()} == dict(zip(IMAGES, own, strict=True))
    for captured in read_captures(str(tmp_path / "captures")):
        row = rows.pop(str(captured.key))
        assert [*(captured.labels or ())] == row["labels"]
        assert (captured.label, captured.abstained) == (row["top_labels"][0], False)
        odds = np.array([of_row(row).odds_of(label) for label in tiny.LABELS])
        assert captured.margin == pytest.approx(np.abs((odds - 1) / (odds + 1)).min(), rel=1e-5)
    assert not rows


@pytest.mark.parametrize("option", ["--label-sets", "--distances"])
def test_scorer_says_what_a_multi_label_model_has_not(models: Path, tmp_path: Path, option: str) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(SettingsInvalid, match=f"{option}: tiny version 1 is multi-label, and has none"):
        score(settings_for(tmp_path / "photos", models, tmp_path / "output", option))


def of_row(row: dict[str, Any]) -> Said:
    return Said(
        [*zip(row["labels"], row["probabilities"], strict=True)],
        [*zip(row["top_labels"], row["top_probabilities"], strict=True)],
    )


def write(folder: Path, images: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, image in images.items():
        (folder / name).write_bytes(image)


def test_model_says_that_it_is_multi_label_and_how_good_its_labels_are(
    server: ServerProcess, channel: grpc.Channel
) -> None:
    stub = ClassifierStub(channel)
    model = stub.GetModel(pb.GetModelRequest())
    assert (model.task, model.abstain_threshold) == ("multi", 0)
    assert [*model.thresholds] == np.array(tiny.THRESHOLDS, np.float32).tolist()
    assert (model.label_metrics.map, len(model.label_metrics.labels)) == (1.0, LABELS)
    first = model.label_metrics.labels[0]
    assert (first.label, first.threshold, first.images, first.precision.low) == ("red", 0.5, 6, 0.61)
    described = request(server, "GET", "/v1/model").json
    assert (described["task"], described["thresholds"]) == ("multi", [*model.thresholds])
    assert described["label_metrics"]["labels"][2]["recall"] == {"share": 1.0, "low": 0.61, "high": 1.0}
    for field in ("want_distance", "want_label_set"):
        wanted: Any = {field: True}
        with pytest.raises(grpc.RpcError, match=f"{field}: the model was released without"):
            stub.Classify(pb.ClassifyRequest(image=FILES[0], **wanted))


@pytest.mark.slow
def test_by_several_fronts(models: Path, own: list[Said]) -> None:
    """Which have the probabilities alone from the server."""
    with running_server(models, "--fronts", "2", "--threads", "2") as server, Client(server.target) as client:
        assert list(map(of_client, client.classify_many(FILES, top_k=LABELS))) == own
        assert (
            list(map(of_json, [post(server, "/v1/classify?top_k=3", image).json for image in FILES])) == own
        )
        assert client.get_model().task == "multi"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_report_server_and_scorer_say_the_same_of_each_pair_of_digits(tmp_path: Path) -> None:
    trained = program(
        *("trainer", "train", "--data", "digits", "--task", "multi", "--models", str(tmp_path / "digits")),
        *("--arch", "resnet18", "--epochs", "1", "--num-steps", "20", "--precisions", "fp32"),
        *("--publish-anyway", "--runs", str(tmp_path / "runs"), "--cache-dir", str(tmp_path / "cache")),
    )
    assert trained.returncode == 0, trained.stderr
    pairs = tmp_path / "cache" / "digit-pairs"
    with (pairs / "labels.csv").open(newline="") as file:
        truth = {
            row["path"]: {*row["labels"].split(";")} for row in csv.DictReader(file) if row["split"] == "val"
        }
    bundle = ModelBundle.open(tmp_path / "digits" / "1")
    own = dict(zip(truth, by_bundle(bundle, [pairs / path for path in truth]), strict=True))
    with running_server(tmp_path / "digits") as server, Client(server.target) as client:
        labels = len(bundle.contract.labels)
        answers = client.classify_many([pairs / path for path in truth], top_k=labels)
        assert dict(zip(truth, map(of_client, answers), strict=True)) == own
    top_k = ("--top-k", str(labels))
    score(settings_for(pairs / "val", tmp_path / "digits", tmp_path / "output", *top_k))
    assert {f"val/{row['key']}": of_row(row) for row in read_rows(tmp_path / "output")} == own
    told = {path: {label for label, _ in said.selected} for path, said in own.items()}
    metrics, scores = bundle.contract.metrics, bundle.contract.label_metrics
    assert scores is not None
    assert (metrics.images, metrics.right) == (len(own), sum(told[path] == truth[path] for path in own))
    for label, measured in scores.per_label.items():
        assert measured.selected == sum(label in each for each in told.values())
        assert measured.right == sum(label in told[path] & truth[path] for path in own)


def by_bundle(bundle: ModelBundle, images: Sequence[Path]) -> Iterator[Said]:
    """What it says, opened directly."""
    contract = bundle.contract
    assert contract.thresholds is not None
    crops = np.stack([decode_image(image.read_bytes(), contract.preprocess) for image in images])
    for row in Classifier(bundle, "cpu", 1).classify(crops):
        order = np.argsort(-row, kind="stable").tolist()
        ranked = [(contract.labels[index], float(row[index])) for index in order]
        has = selected(row, contract.thresholds)
        yield Said([each for each, index in zip(ranked, order, strict=True) if has[index]], ranked)
