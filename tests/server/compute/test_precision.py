import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import grpc
import pytest

from fovea.errors import BundleInvalid
from fovea.images.preprocess import Pixels
from fovea.model.bundle import ModelBundle, Precision
from fovea.model.classifier import Classifier, Probabilities
from fovea.model.sessions import SessionOptions
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.compute import precision
from server.compute.precision import choose_precision
from tests import tiny
from tests.server.manual_clock import ManualClock
from tests.servers import run_server, running_server

OPTIONS = SessionOptions(threads=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("variants")
    tiny.publish_bundle(root / "models", root / "staging", variants={"int8": 7.9})
    return root / "models"


@pytest.fixture(scope="module")
def bundle(models: Path) -> ModelBundle:
    return ModelBundle.open(models / "1")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, float | None]:
    """What the measurement finds, in seconds, instead of what this machine does."""
    seconds: dict[str, float | None] = {"fp32": 0.02, "int8": 0.01}
    monkeypatch.setattr(precision, "_seconds_an_image", lambda bundle, name, *rest: seconds[name])
    return seconds


def test_auto_takes_the_fastest(
    bundle: ModelBundle, tmp_path: Path, measured: dict[str, float | None]
) -> None:
    assert choose_precision(bundle, "cpu", "auto", tmp_path, OPTIONS) == "int8"
    measured["int8"] = 0.03
    assert choose_precision(bundle, "cpu", "auto", tmp_path / "other", OPTIONS) == "fp32"


def test_auto_prefers_the_better_answers_of_those_that_are_as_fast(
    tmp_path: Path, measured: dict[str, float | None]
) -> None:
    assert set(precision.FROM_THE_BEST) == set(get_args(Precision))
    gains: dict[str, float] = {"fp16": 8.0, "int8": 7.9, "int8-full": 7.95}
    bundle = tiny.stage_bundle(tmp_path / "bundle", variants=gains)
    for number, (fp16, full, int8, chosen) in enumerate(
        (
            (0.03, 0.0108, 0.010, "int8-full"),  # as on processors with VNNI
            (0.03, 0.0160, 0.010, "int8"),  # and on those without
            (0.0205, 0.0215, 0.0212, "fp32"),
            (0.0105, 0.0100, 0.030, "fp16"),
        )
    ):
        measured |= {"fp32": 0.02, "fp16": fp16, "int8-full": full, "int8": int8}
        assert choose_precision(bundle, "cpu", "auto", tmp_path / str(number), OPTIONS) == chosen


def test_of_what_is_measured_the_run_counts_that_was_disturbed_least(
    bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, runs_s = ManualClock(), itertools.cycle((0.02, 0.01, 0.04))

    class Slow(Classifier):
        def classify(self, pixels: Pixels, *, give_back: bool = False) -> Probabilities:
            clock.now += next(runs_s)
            return super().classify(pixels, give_back=give_back)

    monkeypatch.setattr(precision, "Classifier", Slow)
    monkeypatch.setattr(precision, "time", SimpleNamespace(perf_counter=clock))
    assert precision._seconds_an_image(bundle, "int8", "cpu", OPTIONS) == pytest.approx(0.01)


def test_auto_remembers_what_it_measured(
    bundle: ModelBundle, tmp_path: Path, measured: dict[str, float | None]
) -> None:
    choose_precision(bundle, "cpu", "auto", tmp_path, OPTIONS)
    measured.clear()
    assert choose_precision(bundle, "cpu", "auto", tmp_path, OPTIONS) == "int8"


def test_a_damaged_memory_is_measured_again(
    bundle: ModelBundle, tmp_path: Path, measured: dict[str, float | None]
) -> None:
    choose_precision(bundle, "cpu", "auto", tmp_path, OPTIONS)
    (file,) = (tmp_path / "precisions").iterdir()
    file.write_text('{"precision": "int4"}')
    measured["int8"] = None
    assert choose_precision(bundle, "cpu", "auto", tmp_path, OPTIONS) == "fp32"


def test_auto_leaves_out_what_fails_the_golden_check(tmp_path: Path) -> None:
    staged = tiny.stage_bundle(tmp_path / "bundle", variants={"int8": 2.0})
    wrong = staged.contract.variants["int8"].model_copy(
        update={"golden": tuple((0.0, 0.0, 1.0) for _ in range(6))}
    )
    bad = ModelBundle(staged.path, staged.contract.model_copy(update={"variants": {"int8": wrong}}))
    assert choose_precision(bad, "cpu", "auto", tmp_path / "cache", OPTIONS) == "fp32"


def test_what_is_asked_for_is_not_measured(bundle: ModelBundle, tmp_path: Path) -> None:
    assert choose_precision(bundle, "cpu", "int8", tmp_path, OPTIONS) == "int8"
    assert not (tmp_path / "precisions").exists()


def test_the_server_says_which_precision_it_serves(models: Path, tmp_path: Path) -> None:
    with (
        running_server(models, "--precision", "auto", "--model-cache", str(tmp_path)) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        described = ClassifierStub(channel).GetModel(pb.GetModelRequest(), timeout=30)
    assert described.precision in {"fp32", "int8"}
    assert described.model.digest == ModelBundle.open(models / "1").digest_of(described.precision)  # type: ignore[arg-type]
    assert server.ready["precision"] == described.precision


def test_a_precision_that_was_not_released_ends_with_65(tiny_models: Path) -> None:
    ended = run_server("--models", str(tiny_models), "--precision", "fp16")
    assert ended.returncode == BundleInvalid.exit_code
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "has no fp16 model (it has: fp32)" in ended.stderr
