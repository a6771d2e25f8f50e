"""The whole way with the real programs: photographs -> a bundle -> gRPC answers -> scored rows."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.dataset
import pytest

from fovea.client import Classification, Client
from fovea.model.bundle import ModelBundle
from tests.photos import make_photos
from tests.servers import ServerProcess, running_server

ROOT = Path(__file__).parents[1]


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_photos(folder / "train", 16, seed=1)
    make_photos(folder / "val", 12, seed=2)
    return folder


@pytest.fixture(scope="module")
def models(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained by the command that the README shows, with few steps, small crops and a smaller network."""
    place = tmp_path_factory.mktemp("trained")
    trained = program(
        *("trainer", "train", "--data", str(photos), "--models", str(place / "models" / "photos")),
        *("--publish-anyway", "--weights", "none", "--arch", "squeezenet1_1", "--epochs", "1"),
        *("--runs", str(place / "runs"), "--run-id", "first", "--threads", "1"),
        *("--cache-dir", str(place / "cache"), "--size", "32", "--num-steps", "20", "--batch-size", "8"),
    )
    assert trained.returncode == 0, trained.stderr
    return place / "models" / "photos"


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[ServerProcess]:
    """Started as a user starts it."""
    with running_server(models, python=sys.executable) as running:
        yield running


def held_out(photos: Path) -> list[Path]:
    return sorted(path for path in (photos / "val").glob("*/*"))


def test_accuracy_over_the_wire_is_the_released_one_to_the_image(
    models: Path, server: ServerProcess, photos: Path
) -> None:
    bundle = ModelBundle.open(models / "1")
    with Client(server.target) as client:
        answers = list(client.classify_many(held_out(photos)))
    assert all(isinstance(answer, Classification) for answer in answers)
    correct = sum(
        isinstance(answer, Classification) and answer.label == path.parent.name
        for path, answer in zip(held_out(photos), answers, strict=True)
    )
    metrics = bundle.contract.metrics
    assert (correct, len(answers)) == (round(metrics.accuracy * metrics.images), metrics.images)


def test_scored_rows_are_the_servers_answers(
    models: Path, server: ServerProcess, photos: Path, tmp_path: Path
) -> None:
    (photos / "val" / "broken.jpg").write_bytes(b"\xff\xd8 this is no photograph")
    try:
        scored = program(
            *("scorer", "run", str(photos / "val"), "--models", str(models), "--output", str(tmp_path)),
            *("--run-id", "night", "--max-bad-fraction", "0.5"),
        )
    finally:
        (photos / "val" / "broken.jpg").unlink()
    assert scored.returncode == 0, scored.stderr
    rows = (
        pyarrow.dataset.dataset(tmp_path / "runs" / "night" / "data", format="parquet").to_table().to_pylist()
    )
    by_key = {row["key"]: row for row in rows}
    assert len(by_key) == len(rows) == len(held_out(photos)) + 1
    assert by_key["broken.jpg"]["status"] == "undecodable"
    with Client(server.target) as client:
        for path, answer in zip(held_out(photos), client.classify_many(held_out(photos)), strict=True):
            row = by_key[str(path.relative_to(photos / "val"))]
            assert isinstance(answer, Classification)
            assert row["label"] == answer.label
            assert row["probability"] == pytest.approx(answer.probability, abs=1e-5)


def test_the_client_command_prints_json_lines_and_a_table(
    server: ServerProcess, photos: Path, tmp_path: Path
) -> None:
    image, missing = str(held_out(photos)[0]), str(tmp_path / "missing.jpg")
    as_json = program("fovea.client", image, missing, "--target", server.target, "--json")
    as_table = program("fovea.client", image, "--target", server.target)
    answer, error = (json.loads(line) for line in as_json.stdout.splitlines())
    assert as_json.returncode == 65
    assert answer["predictions"][0]["label"] in {"flower", "temple"}
    assert error["image"] == missing
    assert as_table.returncode == 0
    assert answer["predictions"][0]["label"] in as_table.stdout


def test_the_run_keeps_its_settings_curve_and_report(models: Path) -> None:
    run = models.parents[1] / "runs" / "first"
    for name in ("settings.json", "lr_find.png", "lr_find.json", "metrics.jsonl", "report.html"):
        assert (run / name).stat().st_size > 0, name
    summary = json.loads((run / "summary.json").read_text())
    assert Path(summary["model"]) == models / "1"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_does_what_the_readme_promises() -> None:
    ended = program("demo")
    assert ended.returncode == 0, ended.stderr
    summary = json.loads((ROOT / ".demo" / "summary.json").read_text())
    assert summary["accuracy_training"] >= 0.97
    assert summary["accuracy_served"] == summary["accuracy_training"]
    assert summary["rows"] == summary["images"] > 300
    for name in ("model", "report", "parquet"):
        assert (ROOT / summary[name]).exists(), name
    word, *against = ended.stdout.rstrip().rsplit("Verdict: ", 1)[1].splitlines()
    assert (word, [reason.strip() for reason in against]) == tuple(summary["verdict"].values())
    assert word.startswith("Fit to ship")
