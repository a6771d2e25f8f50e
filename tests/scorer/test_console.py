"""What is printed at the end of a run."""

from pathlib import Path

from scorer.console import report
from tests.scorer.made_runs import Image, commit, make_run


def printed(output: Path, images: list[Image], night: int) -> list[str]:
    summary = commit(*make_run(output, [images], f"night-{night}", day=night))
    assert summary is not None
    return [line.strip() for line in report(summary, str(output)).splitlines()]


def test_the_report_of_a_first_run(output: Path) -> None:
    rows = [Image("a.jpg"), Image("b.jpg", "blue", 0.4), Image("c.jpg", None)]
    assert printed(output, rows, 1) == [
        "run night-1: 3 images by tiny version 1",
        "status      ok 2, undecodable 1",
        "labels      red 1, blue 1; abstained 1",
        "speed       3.0 images/s in 1.0 s; fetch is the bottleneck",
        "faster      raise --fetch-concurrency: the other stages wait for the store",
        "changed     nothing is compared: no run was finished before this one",
        f"rows        {output}/runs/night-1/data/",
        f"not ok      {output}/runs/night-1/quarantine.parquet",
        f"summary     {output}/runs/night-1/summary.html",
    ]


def test_the_report_of_the_next_run_says_what_is_carried_and_what_changed(output: Path) -> None:
    printed(output, [Image(f"{n}.jpg") for n in range(9)], 1)
    rows = [Image(f"{n}.jpg", carried=n > 3) for n in range(1, 9)]
    rows[0] = Image("1.jpg", "blue")
    rows[1] = Image("2.jpg", "blue", etag="2")
    lines = printed(output, [*rows, Image("new.jpg")], 2)
    assert "carried     5 from run night-1; 4 scored" in lines
    assert "speed       4.0 images/s in 1.0 s; fetch is the bottleneck" in lines
    assert (
        "changed     since night-1: 2 of the 8 labels in both (1 by another image, 1 of the same one); "
        "new images 1, vanished 1"
    ) in lines
    assert "drift       none against the last run (PSI: classes 0.369, confidence 0, abstentions 0)" in lines


def test_labels_that_were_lost_or_gained_are_told(output: Path) -> None:
    printed(output, [Image("a.jpg"), Image("b.jpg"), Image("c.jpg", None)], 1)
    lines = printed(output, [Image("a.jpg", None), Image("b.jpg"), Image("c.jpg")], 2)
    changed = (
        "changed     since night-1: 0 of the 3 labels in both; lost 1, gained 1; new images 0, vanished 0"
    )
    assert changed in lines
    page = (output / "runs/night-2/summary.html").read_text()
    assert "Since run night-1, 0 labels changed, 1 lost, 1 gained." in page


def test_a_run_that_scored_nothing_has_no_speed(output: Path) -> None:
    printed(output, [Image("a.jpg")], 1)
    lines = printed(output, [Image("a.jpg", carried=True)], 2)
    assert not [line for line in lines if line.startswith("speed")]
    assert "images a second" not in (output / "runs/night-2/summary.html").read_text()


def test_a_key_or_label_with_a_line_break_cannot_forge_a_line(output: Path) -> None:
    lines = printed(output, [Image("a.jpg", "red\n\x1b[2Jrun night-1: all is well")], 1)
    assert lines[2] == r"labels      red\n\x1b[2Jrun night-1: all is well 1; abstained 0"
