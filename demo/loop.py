"""Trains on labels of which some are wrong, serves, captures, has that labelled, trains again, compares
and promotes; then a bad candidate is refused. What each step bought stands in the table at the end.

Everything it makes is under `.demo/loop/`; `.demo/loop/summary.json` holds the figures.
"""

import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from demo.loop_data import Digits, digest_of, label_of, write_corrections, write_digits
from demo.processes import run_program, running_server
from fovea import exits
from fovea.capture.reading import read_captures
from fovea.client import Classification, Client
from fovea.errors import ExitCode, FoveaError, SettingsInvalid
from fovea.stopping import Stopping

HOME: Final = Path(".demo/loop")
MODELS: Final = HOME / "models" / "digits"
RUNS: Final = HOME / "runs"
CAPTURES: Final = HOME / "captures"
LABELS: Final = HOME / "labels"
CORRECTIONS: Final = LABELS / "corrections.csv"
COMPARED: Final = HOME / "compare"
CACHE: Final = ("--cache-dir", str(HOME / "cache"))
OF_DIGITS: Final = (
    *("--weights", "none", "--arch", "resnet18", "--size", "24", "--resize", "24", "--batch-size", "32"),
    *("--min-crop", "0.85", "--max-warp", "0", "--max-lighting", "0", "--no-flip", "--lr", "0.004"),
)
"""Small grey images, and a mirrored 5 is no 5. Of so few with wrong labels a range test tells no rate."""
CAPTURING: Final = ("--capture", str(CAPTURES), "--capture-share", "0.5", "--capture-per-hour", "60000")

console = Console(highlight=False)


@dataclass(frozen=True)
class Size:
    """Of the programme."""

    images: int
    """of each digit"""
    epochs: int


WHOLE: Final = Size(200, 8)
QUICK: Final = Size(100, 6)
"""For a test."""


def main() -> ExitCode:
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(f"usage: python -m demo.loop [quick]\n\n{__doc__}")
        return ExitCode.DONE
    if sys.argv[1:] not in ([], ["quick"]):
        raise SettingsInvalid(f"python -m demo.loop takes nothing but the word quick, not {sys.argv[1]}")
    Stopping()
    started, size = time.monotonic(), QUICK if sys.argv[1:] else WHOLE
    shutil.rmtree(HOME, ignore_errors=True)
    digits = write_digits(HOME, size.images)
    summary = {**_first(digits, size), **_serve(digits), **_label(digits)}
    summary |= _again(digits, size)
    summary |= {**_compare(digits, summary["candidate"]), **_promote(digits, summary["candidate"])}
    summary |= {**_refuse(digits, size), "seconds": round(time.monotonic() - started)}
    (HOME / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    _show(digits, summary)
    return ExitCode.DONE


def _say(step: str, what: str) -> None:
    console.print(f"\n[bold]{step}[/]  {what}")


def _train(run: str, size: Size, *arguments: str, expected: int = 0) -> dict[str, Any]:
    """Returns summary.json."""
    run_program(
        *("trainer", "train", "--models", str(MODELS), "--runs", str(RUNS), "--run-id", run),
        *(*OF_DIGITS, "--epochs", str(size.epochs), *CACHE, "--log-format", "text", *arguments),
        expected=expected,
    )
    return _read(RUNS / run / "summary.json")


def _first(digits: Digits, size: Size) -> dict[str, Any]:
    _say("1/7", f"Train on {digits.trained} photos of digits, of whose labels {digits.wrong} are wrong")
    trained = _train("first", size, "--data", str(digits.photos))
    return {"accuracy_first": trained["accuracy"]}


def _serve(digits: Digits) -> dict[str, Any]:
    _say("2/7", f"Serve it, and capture some of the {len(digits.production)} digits that come")
    right = _served("first.log", digits.production, *CAPTURING)
    reasons = Counter(row.reason for row in read_captures(str(CAPTURES)))
    return {"production": len(digits.production), "production_right": right, "captured": dict(reasons)}


def _label(digits: Digits) -> dict[str, Any]:
    _say("3/7", "Make the page to label them on, and give the labels by who knows the truth")
    labelling = ("--models", str(MODELS), "--output", str(LABELS), *CACHE)
    run_program("trainer", "label", str(CAPTURES), *labelling)
    truth = {digest_of(image): label_of(image) for image in digits.production}
    labelled, otherwise = write_corrections(CORRECTIONS, read_captures(str(CAPTURES)), truth)
    return {"labelled": labelled, "labelled_otherwise": otherwise}


def _again(digits: Digits, size: Size) -> dict[str, Any]:
    _say("4/7", "Train on the photos, what was captured, and its labels")
    sources = (str(digits.photos), str(CAPTURES), str(CORRECTIONS))
    data = [word for source in sources for word in ("--data", source)]
    trained = _train("again", size, *data, "--promote", "never")
    return {"accuracy_again": trained["accuracy"], "candidate": trained["candidate"]}


def _compare(digits: Digits, candidate: str) -> dict[str, Any]:
    _say(
        "5/7",
        "Compare it with the first, by the test digits and by what was captured, without its labels",
    )
    data = ("--data", str(digits.photos), "--data", str(CAPTURES))
    run_program(
        *("trainer", "compare", candidate, "--against", str(MODELS), *data),
        *("--output", str(COMPARED), *CACHE),
    )
    compared = _read(COMPARED / "compare.json")
    told = ("images", "fixed", "broken", "difference", "interval")
    unlabelled = {name: compared["unlabelled"][name] for name in ("images", "agreed")}
    return {"compared": {name: compared["paired"][name] for name in told}, "unlabelled": unlabelled}


def _promote(digits: Digits, candidate: str) -> dict[str, Any]:
    _say("6/7", "Promote it, if it is not worse, and serve it")
    terms = ("--data", str(digits.photos), "--why", "the loop's demonstration", *CACHE)
    run_program("trainer", "promote", candidate, *terms)
    right = _served("again.log", digits.test)
    return {"served_right": right}


def _refuse(digits: Digits, size: Size) -> dict[str, Any]:
    _say("7/7", "Train a bad candidate: somebody took 3 for 8 and 4 for 9 in the photos")
    data = ("--data", str(digits.careless), "--promote", "better")
    trained = _train("careless", size, *data, expected=ExitCode.BAD_DATA)
    latest = json.loads(max((MODELS / "promotions").iterdir()).read_text())
    return {
        "accuracy_careless": trained["accuracy"],
        "refused": trained["not_published"],
        "latest": latest["version"],
    }


def _served(log: str, images: list[Path], *options: str) -> int:
    """How many answers over gRPC are right. What is captured is written by the server's end."""
    with running_server(HOME / log, "--models", str(MODELS), *options) as server:
        with Client(server.target) as client:
            answers = zip(images, client.classify_many(images), strict=True)
            right = sum(_label_in(answer) == label_of(image) for image, answer in answers)
        server.stop()
    return right


def _label_in(answer: Classification | FoveaError) -> str:
    if isinstance(answer, FoveaError):
        raise answer
    return answer.label


def _read(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(file.read_text())
    return read


def _show(digits: Digits, found: dict[str, Any]) -> None:
    rows = list(_rows(digits, found))
    widest = max(len(step) for step, _, _ in rows)
    console.print(f"\n[bold]What each step bought[/]  (how many of {len(digits.test)} test digits are right)")
    for step, right, bought in rows:
        console.print(f"  {step:<{widest}}  {right:>7}  {bought}", soft_wrap=True, markup=False)
    console.print(
        f"\n  open {LABELS / 'label.html'}, {COMPARED / 'compare.html'}, {RUNS / 'again' / 'report.html'}"
        f"\n  took {found['seconds']} s",
        soft_wrap=True,
    )


def _rows(digits: Digits, found: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    yield (
        f"train on {digits.trained} photos",
        f"{found['accuracy_first']:.2%}",
        f"version 1, though {digits.wrong} labels are wrong",
    )
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(found["captured"].items()))
    yield (
        f"serve {found['production']} more digits",
        "",
        f"{found['production_right'] / found['production']:.2%} right over gRPC; captured: {reasons}",
    )
    yield (
        "label what was captured",
        "",
        f"{found['labelled']} labels, of which {found['labelled_otherwise']} are not what it answered",
    )
    compared, unlabelled = found["compared"], found["unlabelled"]
    low, high = (100 * end for end in compared["interval"])
    yield (
        "train on all of it",
        f"{found['accuracy_again']:.2%}",
        f"{100 * compared['difference']:+.2f} points (95 % interval {low:+.2f} to {high:+.2f}): "
        f"{compared['fixed']} fixed, {compared['broken']} broken",
    )
    yield (
        "compare on what was captured",
        "",
        f"{unlabelled['images'] - unlabelled['agreed']} of {unlabelled['images']} answers changed",
    )
    yield (
        "promote",
        f"{found['served_right'] / len(digits.test):.2%}",
        f"served over gRPC: latest is version {found['latest']}",
    )
    yield (
        "a bad candidate",
        f"{found['accuracy_careless']:.2%}",
        f"refused with exit code 65: {found['refused'].partition(' (')[0]}",
    )


if __name__ == "__main__":
    exits.run(main)
