"""MLflow's own client finds in its store what was told, once; a server that is away costs little time."""

import os
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.trainer.tracking.conftest import Store
from tests.trainer.tracking.standings import BEGUN, CHOSEN, PUBLISHED, REFUSED, after, record
from trainer.tracking import tracking
from trainer.tracking.standing import figures
from trainer.tracking.tracking import Tracking

if TYPE_CHECKING:
    from trainer.tracking.mlflow_run import MlflowRun


def mlflow_run(uri: str | None = None) -> "MlflowRun":
    from trainer.tracking.mlflow_run import MlflowRun

    return MlflowRun(uri or os.environ["MLFLOW_TRACKING_URI"])


def test_all_that_was_told_is_there_once_of_a_training_in_two_processes(store: Store, tmp_path: Path) -> None:
    curve, report = tmp_path / "lr_find.json", tmp_path / "report.html"
    curve.write_text("{}")
    report.write_text("a report")
    first, second = mlflow_run(), mlflow_run()
    for standing in (BEGUN, after(0, files=(curve,)), after(2, files=(curve,)), after(2, status="KILLED")):
        first.tell(standing)
    run = store.run()
    assert run.info.status == "KILLED"
    second.tell(BEGUN)
    assert [run.info.status for run in store.runs()] == ["RUNNING"]
    done = after(4, files=(curve, report), outcome=PUBLISHED)
    second.tell(done)
    second.tell(after(4, files=(curve, report), outcome=PUBLISHED, status="FINISHED"))

    run = store.run()
    assert (run.info.run_name, run.info.status) == ("pets-1", "FINISHED")
    assert run.data.params == {
        **BEGUN.recipe,
        "learning_rate": f"{CHOSEN.lr:.6g}",
        "learning_rate_why": CHOSEN.why,
        "learning_rate_confidence": CHOSEN.confidence,
    }
    told = {epoch: figures(record(epoch)) for epoch in range(1, 5)}
    for name in told[1]:
        assert store.history(name) == [(epoch, told[epoch][name]) for epoch in told], name
    assert store.history("released_accuracy") == [(4, 0.5)]
    assert {name: run.data.tags[name] for name in run.data.tags if name.startswith("fovea.")} == {
        "fovea.training": BEGUN.key,
        "fovea.run": "pets-1",
        "fovea.model": PUBLISHED.uri,
        "fovea.version": "3",
        "fovea.digest": PUBLISHED.digest,
        "fovea.not_published": "",
    }
    assert store.artifacts() == {"lr_find.json": 2, "report.html": 8}


def test_experiment_is_the_models_or_what_the_environment_says(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow_run().tell(BEGUN)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "cats and dogs")
    mlflow_run().tell(BEGUN)
    found = store.client.get_experiment_by_name("pets"), store.client.get_experiment_by_name("cats and dogs")
    assert all(found)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", str(found[0] and found[0].experiment_id))
    mlflow_run().tell(after(1))
    assert len(store.runs()) == 2
    (run,) = [run for run in store.runs() if run.data.metrics]
    assert run.info.experiment_id == os.environ["MLFLOW_EXPERIMENT_ID"]


def test_refusal_is_told_and_taken_back_when_the_model_is_published_after_all(store: Store) -> None:
    mlflow_run().tell(after(1, outcome=REFUSED, status="FAILED"))
    run = store.run()
    assert (run.info.status, run.data.tags["fovea.not_published"]) == ("FAILED", "it is bad")
    mlflow_run().tell(after(1, outcome=PUBLISHED, status="FINISHED"))
    run = store.run()
    assert (run.info.status, run.data.tags["fovea.not_published"]) == ("FINISHED", "")
    assert run.data.tags["fovea.version"] == "3"


def test_call_whose_answer_was_lost_is_not_made_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    telling = mlflow_run()
    for name, standing in (("create_run", BEGUN), ("log_batch", after(1)), ("log_batch", after(2))):
        with monkeypatch.context() as patch:
            call = getattr(telling._client, name)

            def loses(*arguments: Any, call: Any = call, **options: Any) -> None:
                call(*arguments, **options)
                raise TimeoutError

            patch.setattr(telling._client, name, loses)
            with pytest.raises(TimeoutError):
                telling.tell(standing)
        telling.tell(standing)
    assert [step for step, _ in store.history("seconds")] == [1, 2]


def test_artifact_store_that_is_away_costs_no_metric_and_no_end(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no-such-file"):
        mlflow_run().tell(after(1, files=(tmp_path / "no-such-file",), outcome=PUBLISHED, status="FINISHED"))
    run = store.run()
    assert (run.info.status, run.data.tags["fovea.version"]) == ("FINISHED", "3")


def test_server_that_is_away_or_silent_costs_one_line_and_little_time(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "END_S", 0.5)
    monkeypatch.setattr(tracking, "AGAIN_S", 0.01)
    for listens, said in ((False, "Connection refused"), (True, "does not answer")):
        caplog.clear()
        with port(listens=listens) as number:
            started, random_state = time.monotonic(), random.getstate()
            with Tracking(BEGUN, [mlflow_run(f"http://me:secret@127.0.0.1:{number}")]).told() as telling:
                telling.epochs([record(1)])
            assert time.monotonic() - started < 9  # MLflow itself would try for minutes, and once for 10 s
            assert random.getstate() == random_state
        (line,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
        assert line.startswith(f"--log-to mlflow (http://127.0.0.1:{number})")
        assert said in line
        assert "secret" not in line


@contextmanager
def port(*, listens: bool) -> Iterator[int]:
    """On which nobody listens, or one that accepts and never answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if listens:
            taken.listen()
        yield taken.getsockname()[1]
