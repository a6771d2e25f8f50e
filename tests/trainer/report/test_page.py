"""What the report says, as markup."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fovea.printable import shortened
from tests.trainer.report.made import ANIMALS, ANSWERS, DRAWN, make_page
from trainer.pages.markup import code
from trainer.runs.run_folder import RunFolder

HOSTILE = """<script>alert("1")</script>'\u202e&amp;"""


class Elements(HTMLParser):
    """The names and attributes of a page's elements, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.programs = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.programs += tag == "script" and ("type", "application/json") not in attrs
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        self.text += " " if tag in {"td", "th", "dt", "dd", "li", "p"} else ""

    def handle_data(self, data: str) -> None:
        self.text += data


def said(page: str) -> str:
    return " ".join(Elements(page).text.split())


def test_report_stands_alone(page: str) -> None:
    for elsewhere in ("@import", "url(http", "<link", "http://", "https://"):
        assert elsewhere not in page.replace("http://www.w3.org", "")
    addresses = {value for name, value in Elements(page).attributes if name in {"src", "srcset"}}
    assert all(address and address.startswith("data:image/") for address in addresses)
    assert page.count("<svg") == 6


def test_report_allows_no_script_but_its_own(page: str) -> None:
    assert Elements(page).programs == page.count("'sha256-") == 2
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def test_report_follows_the_theme_in_its_drawings(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert "stroke: var(--ink)" in page


def test_report_begins_with_the_verdict(page: str) -> None:
    text = said(page)
    assert (
        "Fit to ship, with care, if this is right often enough: it names the right class for 90.00 %" in text
    )
    assert "finds 80.0 % of its weakest class, cat, and passed the release gate" in text
    assert text.index("Fit to ship") < text.index("What it gets wrong") < text.index("The learning rate")


def test_report_names_the_most_confused_classes(page: str) -> None:
    assert "cat taken for dog: 2 images" in said(page)
    assert "owl taken for cat: 1 image" in said(page)


def test_report_doubts_the_labels_that_it_is_surer_of_another_class_than_of(page: str) -> None:
    text = said(page)
    assert "surer of another class than of the label for 1 held-out image. These are suspicions" in text
    assert re.search(r"owl: cat\? \d\d.\d %", text)
    assert "python -m trainer labels" in text


def test_report_tells_the_worst_answers(page: str) -> None:
    assert "3 held-out images of 30 are wrong." in said(page)
    assert re.search(r"Is owl \(\d.\d %\), it says cat \(\d\d.\d %\) 29.png", said(page))
    assert page.count('class="wrong"><figure>') == 3


def test_report_counts_what_the_threshold_keeps(trained: Path, run_of_a_given_rate: Path) -> None:
    unsure_mistakes = sorted(ANSWERS, key=lambda answer: answer[0] == answer[1])
    text = said(make_page(trained, ANIMALS, unsure_mistakes, run=run_of_a_given_rate))
    assert re.search(r"of the 30 held-out images 2\d are kept so, and 2\d of those are right", text)
    assert "chosen on these same held-out images" in text


def test_a_model_that_is_never_sure_enough_abstains_on_everything(page: str) -> None:
    assert "it abstains on all of them, and the threshold is 1. It was chosen for 99 %." in said(page)
    assert "are kept so" not in said(page)


def test_report_tells_size_accuracy_and_latency_of_each_precision(page: str) -> None:
    text = said(page)
    assert "fp32 46.8 MB 90.00 % – 2.5 ms 400" in text
    assert "int8 11.9 MB 88.00 % 2.00 points 1.25 ms 800" in text
    assert "fp16 left out: it cannot be converted" in text
    assert "measured in one go on: a processor, 1 thread" in text


def test_report_marks_every_suggestion_and_which_was_taken(page: str, trained: Path) -> None:
    text = said(page)
    decision = RunFolder(trained / "runs" / "a").read_json("lr_find.json")
    for name, rate in decision["suggestions"].items():
        assert name in text
        assert rate is None or f"{rate:.2g}" in text
    assert decision["why"] in text


def test_report_shows_no_folder_of_the_machine(page: str, trained: Path) -> None:
    assert "--batch-size" in page
    for private in ("--cache-dir", "--runs", str(trained / "runs"), str(trained / "cache")):
        assert private not in page


def test_hostile_names_are_no_markup_wherever_they_stand(
    trained: Path, run_of_a_given_rate: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_of_a_given_rate, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    audit = run.read_json("audit.json")
    bad = [{"path": HOSTILE, "reason": HOSTILE}]
    audit |= {"quarantined": bad, "leaked": bad, "conflicts": [[HOSTILE]], "duplicates": [[HOSTILE]]}
    audit |= {"tiny": {HOSTILE: 1}, "not_heldout": [HOSTILE], "look_alikes": [[HOSTILE]]}
    audit |= {"not_taken": {HOSTILE: {"files": 9, "names": [HOSTILE]}}}
    audit |= {"near_duplicates": [[HOSTILE]], "near_conflicts": [[HOSTILE]], "near_turned": [[HOSTILE]]}
    audit |= {"doubtful": {"blurred": [HOSTILE]}}
    audit |= {"nearly_leaked": [{"path": HOSTILE, "other": HOSTILE, "reason": HOSTILE}]}
    audit |= {"pictures": {HOSTILE: "data:image/webp;base64,"}}
    run.write_json("audit.json", audit)
    labels = (HOSTILE, "dog", "owl")
    page = make_page(trained, labels, ANSWERS, run=run.path, name=HOSTILE, file_name=HOSTILE + "{}.png")
    elements = Elements(page)
    assert elements.programs == 2
    assert "alert" not in elements.names
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert elements.text.count("<script>alert") > 20
    assert "\u202e" not in page
    assert r"\u202e" in elements.text


def test_long_names_are_shown_by_their_ends(page: str, trained: Path) -> None:
    labels = ("a" * 5000 + "z", "dog", "owl")
    assert len(make_page(trained, labels, ANSWERS)) < len(page) + 20_000
    assert shortened("a" * 100 + "z") == "a" * 39 + "…" + "a" * 19 + "z"


def test_commands_in_the_advice_are_code_and_escaped() -> None:
    assert code("try `--lr 1e-3` on <b>") == "try <code>--lr 1e-3</code> on &lt;b&gt;"
    assert code("no code") == "no code"


def test_the_same_training_gives_the_same_report(page: str, trained: Path) -> None:
    DRAWN.clear()
    assert make_page(trained, ANIMALS, ANSWERS) == page


def test_it_is_the_logits_that_a_temperature_divides_or_is_told_not_to(page: str) -> None:
    """These few answers are calibrated worse by the temperature that fits them best."""
    divided = r"The logits are divided by a temperature of \d.\d{3} before they become"
    left = r"The logits are taken as they are: the temperature that fits them best, \d.\d{3}, would make"
    assert re.search(left, said(page))
    assert not re.search(divided, said(page))


def test_a_number_and_its_percent_sign_stay_on_one_line(page: str) -> None:
    assert "90.00&nbsp;%" in page
    assert not re.search(r"\d %", Elements(page.split("<nav")[0]).text)


def test_names_are_short_however_they_are_spelled_out() -> None:
    assert len(shortened("\x1b\U000e0001" * 1000)) == 60


@pytest.mark.parametrize("answers", [[(0, 0), (1, 1), (2, 2)], [(0, 1)]], ids=["all right", "all wrong"])
def test_report_is_made_of_extremes(
    trained: Path, run_of_a_given_rate: Path, answers: list[tuple[int, int]]
) -> None:
    assert "Class by class" in make_page(trained, ANIMALS, answers, run=run_of_a_given_rate)
