"""The real program: signals, kills, exit codes, and what it says."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.filesize import decimal

from scorer.config import RunSettings
from tests import tiny
from tests.scorer.runs import (
    PATIENCE_S,
    error_line,
    flags,
    planned,
    read_rows,
    scorer,
    settings_for,
    started_scorer,
)

SHARDS_OF_FIVE = ("--shard-images", "5")


@contextmanager
def held_up_at(image: Path) -> Iterator[int]:
    """A pipe in the image's place: whoever reads the image waits there. Yields the pipe's writing end.

    Opening that end waits for a reader, so the program is in the middle of the shard when this returns.
    """
    aside = image.with_name(f"{image.name}.aside")
    image.rename(aside)
    os.mkfifo(image)
    descriptor = -1
    try:
        descriptor = os.open(image, os.O_WRONLY)
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)
        aside.replace(image)


@pytest.fixture
def settings(photos: Path, tiny_models: Path, output: Path) -> RunSettings:
    """Of a run that is planned: shards of 000-004, 005-009, 010-011."""
    settings = settings_for(photos, tiny_models, output, *SHARDS_OF_FIVE)
    planned(settings)
    return settings


def stop_in_the_middle(photos: Path, arguments: list[str], stop: signal.Signals) -> tuple[int, str, float]:
    """Stops the program in its second shard: exit code, stderr, and the seconds that it took to end."""
    with started_scorer("run", *arguments, *SHARDS_OF_FIVE) as process, held_up_at(photos / "007.bmp"):
        started = time.monotonic()
        process.send_signal(stop)
        _, stderr = process.communicate(timeout=PATIENCE_S)
        return process.returncode, stderr, time.monotonic() - started


@pytest.mark.parametrize(
    ("stop", "code", "says"),
    [
        (signal.SIGKILL, -9, ""),
        (signal.SIGTERM, 143, "error: stopped by SIGTERM; run again with --run-id night-1 to finish"),
        (signal.SIGINT, 130, "stopped; run again with --run-id night-1 to finish\ninterrupted\n"),
    ],
)
def test_a_run_stopped_in_a_shard_is_finished_by_running_it_again(
    photos: Path,
    tiny_models: Path,
    output: Path,
    settings: RunSettings,
    stop: signal.Signals,
    code: int,
    says: str,
) -> None:
    arguments = flags(photos, tiny_models, output)
    returned, stderr, seconds = stop_in_the_middle(photos, arguments, stop)
    assert returned == code
    assert says in stderr
    assert "Traceback" not in stderr
    assert seconds < 10
    assert [path.name for path in (output / "runs/night-1/data").iterdir()] == ["shard-00000.parquet"]

    assert scorer("run", *arguments, *SHARDS_OF_FIVE).returncode == 0
    assert [row["key"] for row in read_rows(output)] == sorted(path.name for path in photos.iterdir())
    assert {row["status"] for row in read_rows(output)} == {"ok"}


def test_two_programs_on_one_run_leave_each_row_once(
    photos: Path, tiny_models: Path, output: Path, settings: RunSettings
) -> None:
    arguments = ["run", *flags(photos, tiny_models, output), *SHARDS_OF_FIVE]
    with started_scorer(*arguments) as first, started_scorer(*arguments) as second:
        for process in (first, second):
            process.communicate(timeout=PATIENCE_S)
        assert (first.returncode, second.returncode) == (0, 0)
    assert [row["key"] for row in read_rows(output)] == sorted(path.name for path in photos.iterdir())


def test_it_ends_with_what_a_person_wants_to_know(photos: Path, tiny_models: Path, output: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"bad")
    result = scorer("run", *flags(photos, tiny_models, output))
    assert result.returncode == 0
    assert "run night-1: 13 images by tiny version 1" in result.stdout
    assert "ok 12, undecodable 1" in result.stdout
    assert "images/s" in result.stdout
    assert f"{output}/runs/night-1/data/" in result.stdout
    (scored,) = [json.loads(line) for line in result.stderr.splitlines() if '"scored"' in line]
    assert scored["bottleneck"] in {"fetch", "decode", "compute", "write", "cpu"}
    assert scored["knob"]


def test_a_plan_says_what_there_is_to_do_and_how_to_go_on(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    assert scorer("run", *flags(photos, tiny_models, output)).returncode == 0
    (photos / "new.png").write_bytes(tiny.picture("red"))
    (photos / "notes.txt").write_bytes(b"")
    places = [str(photos), "--models", str(tiny_models), "--output", str(output), "--run-id", "night-2"]
    result = scorer("plan", *places, "--shard-images", "7")
    size, new = (sum(path.stat().st_size for path in photos.glob(glob)) for glob in ("*.*", "new.png"))
    assert result.stdout.splitlines() == [
        "run night-2: planned, with tiny version 1",
        f"  images      13 ({decimal(size)}) in {photos}",
        "  carried     12 from run night-1",
        f"  to score    1 ({decimal(new)} to fetch)",
        "  left out    1, not images by --include or first bytes: 1 .txt (notes.txt)",
        "  shards      2",
        f"  plan        {output}/plan/night-2/plan.json",
        f"next: python -m scorer work --output {output} --run-id night-2",
        f"then: python -m scorer commit --output {output} --run-id night-2",
    ]
    for line in result.stdout.splitlines()[-2:]:
        arguments = line.partition("scorer ")[2].split()
        assert scorer(*arguments).returncode == 0
    assert len(read_rows(output, "night-2")) == 13


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        (["--top-k", "0"], 2, "--top-k (or FOVEA_SCORE_TOP_K): input should be greater"),
        (["--models", "nowhere"], 65, "nowhere: no model is published here"),
        (["--output", "/dev/null/x"], 69, "/dev/null/x"),
    ],
)
def test_a_wrong_value_is_one_line_and_leaves_nothing(
    wrong: list[str], code: int, says: str, photos: Path, tiny_models: Path, output: Path
) -> None:
    result = scorer("run", *flags(photos, tiny_models, output, *wrong))
    assert result.returncode == code
    assert says in error_line(result)
    assert not output.exists()


def test_every_setting_can_come_from_the_environment(
    photos: Path, tiny_models: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"SOURCE": photos, "MODELS": tiny_models, "OUTPUT": output, "RUN_ID": "night-1"}
    for name, value in places.items():
        monkeypatch.setenv(f"FOVEA_SCORE_{name}", str(value))
    result = scorer("run")
    assert result.returncode == 0, result.stderr
    assert len(read_rows(output)) == 12
