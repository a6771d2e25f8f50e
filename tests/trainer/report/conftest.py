from pathlib import Path

import pytest

from tests.trainer.report.made import ANIMALS, ANSWERS, make_page


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
