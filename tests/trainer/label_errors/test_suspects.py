"""What is written of suspicions: the table that --data takes, and the page."""

from pathlib import Path

import pytest

from tests.tiny import picture
from tests.trainer.label_errors.made import made_page, made_record
from tests.trainer.report.test_page import HOSTILE, Elements, said
from trainer.images.sources import open_source
from trainer.label_errors import page
from trainer.label_errors.suspects import as_corrections


def test_what_is_proposed_is_what_data_takes(tmp_path: Path) -> None:
    names = ("cat/0, really.png", 'cat/"1".png', "dog/é.png", "dog/1.png")
    others = (f"{label}/{index}.png" for label in ("cat", "dog", "owl") for index in range(2, 8))
    for name in (*names, *others):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(picture("red"))
    record = made_record((names[0], "cat", "dog"), (names[2], "dog", "owl"))
    (tmp_path / "c.csv").write_text(as_corrections(record.suspects), encoding="utf-8")
    split = open_source(
        str(tmp_path / "photos"), (str(tmp_path / "c.csv"),), val_fraction=0.5, seed=0, cache_dir=tmp_path
    )
    labels = {str(sample): sample.label for sample in (*split.train, *split.heldout)}
    assert [labels[name] for name in names] == ["dog", "cat", "owl", "dog"]


def test_page_says_that_these_are_suspicions_and_what_each_is() -> None:
    text = said(made_page(made_record(("cat/0.png", "cat", "dog"), ("owl/7.png", "owl", "cat"))))
    assert "2 suspicions" in text
    assert "These are suspicions, not findings" in text
    assert "1 cat/0.png Labelled cat (0.1 %); the network says dog (98.8 %)." in text


def test_page_stands_alone_and_runs_no_other_script() -> None:
    made = made_page(made_record((HOSTILE, HOSTILE, "dog"), labels=(HOSTILE, "dog")))
    elements = Elements(made)
    assert elements.programs == made.count("'sha256-") == 1
    assert all(
        (value or "").startswith("data:image/") for name, value in elements.attributes if name == "src"
    )
    assert "://" not in made


def test_page_without_a_suspicion_says_so_and_offers_nothing() -> None:
    made = made_page(made_record(kept=3, judged=999))
    assert "0 suspicions" in said(made)
    assert "3 labels that you looked at before and kept are not listed" in said(made)
    assert "1 image could not be judged: without it there is nothing of its class to train on" in said(made)
    assert "button" not in Elements(made).names


def test_page_shows_the_most_doubtful_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_SHOWN", 2)
    made = made_page(made_record(*[(f"{index}.png", "cat", "dog") for index in range(3)]))
    assert Elements(made).names.count("fieldset") == 2
    assert "The 2 most doubtful are shown" in said(made)


def test_page_says_that_a_ranking_is_worth_little() -> None:
    warning = "this ranking is worth little: 600 of 1,000 labels are doubted"
    made = made_page(made_record(("cat/0.png", "cat", "dog"), warning=warning))
    assert "This ranking is worth little: 600 of 1,000 labels are doubted. Of 1,000 labels" in said(made)
    assert "worth little" not in said(made_page(made_record(("cat/0.png", "cat", "dog"))))
