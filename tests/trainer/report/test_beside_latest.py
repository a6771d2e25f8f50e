"""The model beside the version that was the latest: what corrected labels bought."""

import shutil
from pathlib import Path

import numpy as np

from tests.trainer.report.made import ANIMALS, ANSWERS, make_page
from trainer.compare.comparison import Comparison
from trainer.compare.paired import paired
from trainer.compare.weighing import Weighed
from trainer.images.audit import read_audit
from trainer.images.corrections import CorrectionsRecord
from trainer.report.beside_latest import contents_beside_latest
from trainer.runs.run_folder import AUDIT_FILE, RunFolder

RIGHT = np.array([said == truth for truth, said in ANSWERS])
BEFORE = RIGHT & (np.arange(30) % 5 > 0)
"""Six of thirty are wrong beside what is; of ten cats, one of those is wrong still."""


def weighed() -> Weighed:
    rows = {
        label: paired(RIGHT[10 * n : 10 * n + 10], BEFORE[10 * n : 10 * n + 10], 0.95)
        for n, label in enumerate(ANIMALS[:2])
    }
    found = Comparison(paired(RIGHT, BEFORE, 0.95), rows, [], None, None, ())  # type: ignore[arg-type]
    return Weighed(3, "beside version 3", (), found, ("cat", "dog"))


def test_recall_before_and_after_is_told_of_each_class(trained: Path, run_of_a_given_rate: Path) -> None:
    beside = contents_beside_latest(weighed(), ANIMALS).beside
    assert beside is not None
    assert (beside.version, beside.only_new) == (3, ["owl"])
    assert [row.label for row in beside.classes] == ["cat", "dog"]
    assert [(row.recall.old_right, row.recall.new_right) for row in beside.classes] == [(6, 8), (8, 10)]
    page = make_page(trained, ANIMALS, ANSWERS, run=run_of_a_given_rate, weighed=weighed())
    section = page[page.index('<section id="beside">') :].partition("</section>")[0]
    text = " ".join(section.replace("&nbsp;", " ").split())
    assert "<h2>Beside version 3</h2>" in text
    assert "On the same held-out images, version 3 is right about 70.00 % of 30, this model about" in text
    assert "<td>60.0 %</td><td>80.0 %</td><td>+20.00</td>" in text
    assert "Images of classes that it lacks are not among them:" in text
    assert "owl" in text.partition("not among them:")[2].partition("</p>")[0]


def test_section_is_of_the_corrections_where_there_are_some_and_absent_without_a_comparison(
    trained: Path, run_of_a_given_rate: Path, tmp_path: Path, page: str
) -> None:
    assert 'id="beside"' not in page
    run = RunFolder(Path(shutil.copytree(run_of_a_given_rate, tmp_path / "run")))
    corrections = CorrectionsRecord(files=("c.csv",), labels=2, left_out=0)
    run.write_record(AUDIT_FILE, read_audit(run).model_copy(update={"corrections": corrections}))
    corrected = make_page(trained, ANIMALS, ANSWERS, run=run.path, weighed=weighed())
    assert "<h2>What the corrections bought</h2>" in corrected
    assert "by their corrected labels, version 3 is right" in corrected
