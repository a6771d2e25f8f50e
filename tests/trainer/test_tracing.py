"""A training as spans: where its time went, and why it failed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fovea import tracing
from fovea.errors import DataInvalid
from tests.collector import Collector, collecting
from tests.trainer.conftest import train_settings
from tests.trainer.interruptions import QUICK
from trainer import taking_part
from trainer.progress import show_epoch
from trainer.runs.history import EpochRecord


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as (collector, url):
        monkeypatch.setenv(tracing.ENDPOINT, url)
        yield collector


@pytest.mark.slow
@pytest.mark.usefixtures("known_exports")
def test_training_is_a_span_with_its_parts_as_children(
    few_digits: Path, tmp_path: Path, collector: Collector
) -> None:
    taking_part.run(train_settings(few_digits, tmp_path, **{**QUICK, "lr": "auto", "num_steps": 4}))
    run = collector.wait_for(lambda span: span.name == "trainer train")
    assert (run.service, run.status, run.parent) == ("fovea-train", "UNSET", "")
    parts = sorted((span for span in collector.spans() if span is not run), key=lambda span: span.ended_ns)
    names = [span.name for span in parts]
    assert names == ["range test", "epoch", "export", "gate", "publish"]
    assert all(span.parent == run.span_id and span.began_ns >= run.began_ns for span in parts)


def test_epoch_is_a_span_that_ends_with_it(collector: Collector) -> None:
    with tracing.run_of("fovea-train", "trainer train"):
        show_epoch(EpochRecord(3, 0.5, 0.25, 0.9, 4.0, 5.0, [], []))
    epoch, _ = collector.spans()
    assert (epoch.name, epoch.ended_ns - epoch.began_ns) == ("epoch", 5_000_000_000)
    assert epoch.attributes == {
        "fovea.epoch": 3,
        "fovea.train_loss": 0.5,
        "fovea.heldout_loss": 0.25,
        "fovea.heldout_accuracy": 0.9,
    }


def test_training_that_fails_is_an_error_that_says_why(tmp_path: Path, collector: Collector) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataInvalid, match="there is no image"):
        taking_part.run(train_settings(tmp_path / "empty", tmp_path))
    (run,) = collector.spans()
    assert (run.status, run.events) == ("ERROR", ())
    assert "there is no image" in run.message
