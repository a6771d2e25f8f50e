"""A training whose store is away for a while, by the real program."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fovea.model import versions
from fovea.stores.storage import open_folder
from tests.buckets import Bucket
from tests.faulty_store import FaultyStore, dropped, faulty_store, refused
from tests.programs import Program

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120
TRIES = 6
"""One more than a call's own."""


@pytest.fixture
def store(bucket: Bucket, bucket_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    with faulty_store(bucket_endpoint) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        yield store


@contextmanager
def training(bucket: Bucket, folder: Path) -> Iterator[subprocess.Popen[str]]:
    places = ["--data", f"{bucket.uri}/digits", "--models", f"{bucket.uri}/models/tiny", "--run-id", "a"]
    small = ["--weights", "none", "--arch", "resnet18", "--size", "24", "--resize", "24", "--lr", "0.003"]
    waits = ["--store-patience-s", "600", "--cache-dir", "cache", "--device", "cpu", "--log-format", "text"]
    small.append("--publish-anyway")  # little is learnt from few images
    with Program(
        "trainer",
        "train",
        *places,
        *small,
        *waits,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_a_store_that_is_away_for_a_while_costs_no_training(
    store: FaultyStore, bucket: Bucket, few_digits: Path, tmp_path: Path
) -> None:
    """At the first look, at the images, and when the model is published."""
    bucket.put_folder("digits", few_digits)
    store.on("GET", "", dropped, times=TRIES)
    store.on("GET", "/digits/", refused(503), times=2 * TRIES)
    store.on("PUT", "claim.json", dropped, times=TRIES)
    with training(bucket, tmp_path) as process:
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, stderr
    assert "the store is away; trying again" in stderr
    assert versions.published(open_folder(f"{bucket.uri}/models/tiny")) == [1]


@pytest.mark.slow
def test_sigterm_is_heard_while_a_store_is_waited_for(
    store: FaultyStore, bucket: Bucket, tmp_path: Path
) -> None:
    store.on("GET", "", dropped)
    with training(bucket, tmp_path) as process:
        for _ in range(TRIES):
            store.wait_for_fault()
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143, stderr
    assert time.monotonic() - started < 30
    assert stderr.splitlines()[-1] == "error: stopped by SIGTERM"
