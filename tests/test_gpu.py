"""What only a CUDA device can show: `make test-gpu`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
import torch

from fovea.client import Client
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from tests import tiny
from tests.photos import make_photos
from tests.server.oip_calls import IMAGES, PATIENCE_S, crops_of, of_pixels, texts
from tests.servers import running_server
from trainer.explain.explanation import NamedImage, explain
from trainer.explain.saliency import saliency_maps
from trainer.network.model import build_network

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[1]


def test_the_classifier_gives_its_golden_answers_on_cuda(tiny_bundle: ModelBundle) -> None:
    classifier = Classifier(tiny_bundle, provider="cuda")
    golden = tiny_bundle.golden()
    assert classifier.provider == "CUDAExecutionProvider"
    probabilities = classifier.classify(golden.crops)
    np.testing.assert_allclose(probabilities, golden.probabilities, atol=1e-3)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), golden.probabilities.argmax(axis=1))


def test_training_with_mixed_precision_passes_the_release_gate(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 40)
    command = [
        *(sys.executable, "-m", "trainer", "train", "--device", "cuda", "--weights", "none"),
        *("--data", str(tmp_path / "photos"), "--models", str(tmp_path / "models" / "photos")),
        *("--runs", str(tmp_path / "runs"), "--run-id", "a", "--cache-dir", str(tmp_path / "cache")),
        *("--size", "64", "--batch-size", "16", "--num-steps", "40", "--epochs", "4"),
    ]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    summary = json.loads((tmp_path / "runs" / "a" / "summary.json").read_text())
    assert summary["accuracy"] > 0.6


def test_what_a_network_sees_is_the_same_on_cuda() -> None:
    network = build_network("resnet18", 3, 64)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    classes = np.arange(3)
    expected = saliency_maps(network, pixels, classes)
    network.to("cuda").to(memory_format=torch.channels_last)
    np.testing.assert_allclose(saliency_maps(network, pixels, classes), expected, atol=0.05)
    convolutions = explain(network, ("a", "b", "c"), [NamedImage("a.png", pixels[0])]).convolutions
    assert all(worked is not None for _, worked in convolutions)


def test_odd_batches_are_padded_and_split_on_cuda(tiny_bundle: ModelBundle) -> None:
    classifier = Classifier(tiny_bundle, provider="cuda", batch_sizes=(1, 2, 4))
    on_cpu = Classifier(tiny_bundle, provider="cpu", threads=1)
    for images in (1, 2, 3, 4, 5, 11):
        pixels = np.random.default_rng(images).integers(0, 256, (images, 16, 16, 3), np.uint8)
        np.testing.assert_allclose(classifier.classify(pixels), on_cpu.classify(pixels), atol=1e-3)


def test_logits_come_from_cuda_beside_the_probabilities(tiny_bundle: ModelBundle) -> None:
    on_cpu = Classifier(tiny_bundle, provider="cpu", threads=1)
    on_cuda = Classifier(tiny_bundle, provider="cuda", batch_sizes=(1, 2, 4))
    pixels = np.random.default_rng(7).integers(0, 256, (11, 16, 16, 3), np.uint8)
    both = on_cuda.classify_with_logits(pixels)
    np.testing.assert_allclose(both, on_cpu.classify_with_logits(pixels), atol=1e-2)
    np.testing.assert_array_equal(both[:, 0], on_cuda.classify(pixels))


def test_crops_are_answered_from_cuda(tiny_models: Path) -> None:
    with (
        running_server(tiny_models, "--provider", "cuda") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        inference = GRPCInferenceServiceStub(channel)
        response = inference.ModelInfer(of_pixels(crops_of(IMAGES)), timeout=PATIENCE_S)
    assert texts(response, "label") == [[label] for label in tiny.LABELS]


def test_the_server_answers_from_cuda(tiny_models: Path) -> None:
    images = {label: tiny.picture(label) for label in tiny.LABELS}
    with running_server(tiny_models, "--provider", "cuda") as server, Client(server.target) as client:
        answers = {label: client.classify(image) for label, image in images.items() for _ in range(20)}
        assert client.get_model().provider == "CUDAExecutionProvider"
    assert {label: answer.label for label, answer in answers.items()} == {name: name for name in tiny.LABELS}
