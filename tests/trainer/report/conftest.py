import shutil
from pathlib import Path

import pytest

from tests.trainer.report.made import ANIMALS, ANSWERS, make_page
from trainer.learning_rate.decision import fixed_rate, write_decision
from trainer.network.checkpoint import CHECKPOINT_FILE
from trainer.runs.run_folder import RunFolder


@pytest.fixture(scope="session")
def page(trained: Path) -> str:
    """The report on three classes with three mistakes."""
    return make_page(trained, ANIMALS, ANSWERS)


@pytest.fixture(scope="session")
def page_file(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(page)
    return file


@pytest.fixture(scope="session")
def run_of_a_given_rate(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run as if its learning rate had been given, for tests that look at something else: the
    curve of the range test takes as long to draw as the rest of the report. Not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "a"
    shutil.copytree(trained / "runs" / "a", run, ignore=shutil.ignore_patterns(CHECKPOINT_FILE))
    write_decision(RunFolder(run), fixed_rate(0.01))
    return run
