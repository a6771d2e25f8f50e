"""Names of runs: two that begin in one second do not share one."""

import threading
from pathlib import Path

import pytest

from fovea.settings import load
from scorer.config import PlanSettings
from scorer.planning.naming import claim_run
from tests.buckets import Bucket


def _settings(output: str, *given: str) -> PlanSettings:
    return load(PlanSettings, ["s", "--models", "m", "--output", output, *given], "scorer plan")


def _claim_at_once(settings: PlanSettings, times: int) -> list[str]:
    claimed: list[str] = []
    together = threading.Barrier(times)

    def claim() -> None:
        together.wait()
        claimed.append(claim_run(settings).run_id)

    threads = [threading.Thread(target=claim) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(claimed)


def test_runs_of_one_second_have_names_of_their_own(
    tmp_path: Path, bucket: Bucket, bucket_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for output in (str(tmp_path / "output"), f"{bucket.uri}/output"):
        settings = _settings(output)
        assert _claim_at_once(settings, 4) == [
            settings.run_id,
            *(f"{settings.run_id}-{n}" for n in (2, 3, 4)),
        ]


def test_given_name_is_shared_and_claims_nothing(tmp_path: Path) -> None:
    settings = _settings(str(tmp_path / "output"), "--run-id", "night-1")
    assert claim_run(claim_run(settings)).run_id == "night-1"
    assert not (tmp_path / "output").exists()
