import shutil
from pathlib import Path

import numpy as np
import pytest

from fovea.bundle import read_contract
from trainer.calibration import Calibration
from trainer.report import _code, render_report
from trainer.run_folder import RunFolder

HOSTILE = "<script>alert(1)</script>"
CALIBRATION = Calibration(1.2, 0.7, 0.05, 0.02, 17, 16)


@pytest.fixture(scope="module")
def page(trained: Path) -> str:
    contract = read_contract(trained / "models" / "tiny" / "1")
    return render_report(
        RunFolder(trained / "runs" / "a"), contract, CALIBRATION, np.array([[9, 1], [0, 10]])
    )


def test_report_stands_alone(page: str) -> None:
    for elsewhere in ("src=", "@import", "url(http", "<link", "<script"):
        assert elsewhere not in page
    assert page.count("<svg") == 4
    assert len(page) < 5_000_000


def test_report_follows_the_theme_in_its_drawings(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert "stroke: var(--ink)" in page


def test_report_names_the_most_confused_classes(page: str) -> None:
    assert "0 taken for 1 (1)" in page


def test_report_counts_what_the_threshold_keeps(page: str) -> None:
    assert "20 held-out images 17 are kept so, and 16 of those are right" in " ".join(page.split())
    assert "chosen on these same held-out images" in " ".join(page.split())


def test_report_shows_no_folder_of_the_machine(page: str, trained: Path) -> None:
    assert "--batch-size" in page
    for private in ("--cache-dir", "--runs", str(trained / "runs"), str(trained / "cache")):
        assert private not in page


def test_report_escapes_a_hostile_class_name_and_file_name(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "runs" / "a", tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    audit = run.read_json("audit.json")
    audit["quarantined"] = [{"path": f"{HOSTILE}.jpg", "reason": HOSTILE}]
    run.write_json("audit.json", audit)
    contract = read_contract(trained / "models" / "tiny" / "1")
    per_class = dict(zip((HOSTILE, "1"), contract.metrics.per_class.values(), strict=True))
    metrics = contract.metrics.model_copy(update={"per_class": per_class})
    hostile = contract.model_copy(update={"labels": (HOSTILE, "1"), "metrics": metrics, "name": HOSTILE})
    page = render_report(run, hostile, CALIBRATION, np.array([[9, 1], [0, 10]]))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 6


def test_commands_in_the_advice_are_code_and_escaped() -> None:
    assert _code("try `--lr 1e-3` on <b>") == "try <code>--lr 1e-3</code> on &lt;b&gt;"
    assert _code("no code") == "no code"
