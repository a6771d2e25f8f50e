"""Names of runs: no two processes write to one folder."""

import threading
from pathlib import Path

import pytest

from trainer.runs import run_folder
from trainer.runs.run_folder import SETTINGS_FILE, RunFolder


@pytest.fixture(autouse=True)
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "_now", lambda: "20261129-003600")


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    proposed = [RunFolder.of(tmp_path / "runs", None) for _ in range(8)]
    claimed: list[Path] = []
    together = threading.Barrier(len(proposed))

    def claim(run: RunFolder) -> None:
        together.wait()
        claimed.append(run.claim().path)

    threads = [threading.Thread(target=claim, args=(run,)) for run in proposed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ends = ["", *(f"-{number}" for number in range(2, 9))]
    assert sorted(path.name for path in claimed) == sorted(f"20261129-003600{end}" for end in ends)


def test_proposed_name_makes_nothing_before_it_is_claimed(tmp_path: Path) -> None:
    RunFolder.of(tmp_path / "runs", None)
    RunFolder.output(None, tmp_path / "runs" / "lr-find")
    assert not (tmp_path / "runs").exists()


def test_name_of_a_run_that_is_there_is_not_taken_again(tmp_path: Path) -> None:
    run = RunFolder.of(tmp_path, None).claim()
    run.write_json(SETTINGS_FILE, {})
    assert RunFolder.of(tmp_path, None).claim().path != run.path


def test_given_names_mean_exactly_these_folders(tmp_path: Path) -> None:
    for _ in range(2):
        assert RunFolder.of(tmp_path, "a").claim().path == tmp_path / "a"
        assert RunFolder.output(tmp_path / "b", Path("unused")).claim().path == tmp_path / "b"
