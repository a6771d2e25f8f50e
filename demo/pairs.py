"""`make demo TASK=multi`: the same way with several labels an image: two real digits side by side.

Trains, serves, classifies over gRPC and scores a folder; what comes over the wire has to be what was measured
at the release. Everything it makes is under `.demo/`; `.demo/pairs.json` holds the figures.
"""

import csv
import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pyarrow.dataset
from rich.console import Console
from rich.table import Table

from demo.processes import RunningServer, run_program, running_server
from fovea import exits
from fovea.client import Client
from fovea.errors import BundleInvalid, ExitCode, SettingsInvalid
from fovea.model.bundle import ModelBundle
from fovea.model.measured import LabelMetrics
from fovea.stopping import Stopping

HOME = Path(".demo")
MODELS = HOME / "models" / "pairs"
RUN = HOME / "runs" / "pairs"
SCORES = HOME / "scores-of-pairs"
LOG = HOME / "server-of-pairs.log"
PAIRS = HOME / "cache" / "digit-pairs"

console = Console(highlight=False)


def main() -> ExitCode:
    if sys.argv[1:]:
        raise SettingsInvalid(f"python -m demo.pairs takes no options, such as {sys.argv[1]}")
    Stopping()
    started = time.monotonic()
    for folder in (MODELS, RUN, SCORES):
        shutil.rmtree(folder, ignore_errors=True)
    HOME.mkdir(exist_ok=True)
    _say("1/3", "Find the learning rate, train resnet34 on 2,876 pairs of real digits, release it")
    run_program(
        "trainer", "train", "--data", "digits", "--task", "multi", "--models", str(MODELS),
        "--size", "16", "--batch-size", "64", "--epochs", "auto", "--max-epochs", "15",
        "--runs", str(RUN.parent), "--run-id", RUN.name, "--cache-dir", str(HOME / "cache"),
        "--log-format", "text",
    )  # fmt: skip
    trained = json.loads((RUN / "summary.json").read_text())
    bundle = ModelBundle.open(Path(trained["model"]))
    truth = _truth()
    with running_server(LOG, "--models", str(MODELS)) as server:
        _say("2/3", f"Serve it on {server.target}, classify {len(truth)} held-out pictures over gRPC")
        exact = _classify_all(server, truth)
        _say("3/3", "Score the held-out folder into parquet")
        run_program(
            "scorer", "run", str(PAIRS / "val"), "--models", str(MODELS),
            "--output", str(SCORES), "--run-id", "demo", "--log-format", "text",
        )  # fmt: skip
        server.stop()
    rows = pyarrow.dataset.dataset(SCORES / "runs" / "demo" / "data", format="parquet").count_rows()
    scores = _check(bundle, exact, len(truth), int(rows))
    _show(trained, scores, exact, len(truth), time.monotonic() - started)
    return ExitCode.DONE


def _say(step: str, what: str) -> None:
    console.print(f"\n[bold]{step}[/]  {what}")


def _truth() -> Mapping[Path, frozenset[str]]:
    """Held-out picture -> the digits in it."""
    with (PAIRS / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    return {PAIRS / row["path"]: frozenset(row["labels"].split(";")) for row in rows}


def _classify_all(server: RunningServer, truth: Mapping[Path, frozenset[str]]) -> int:
    """Pictures of which exactly their digits were selected."""
    with Client(server.target) as client:
        answers = {image: client.classify(image) for image in truth}
    return sum(
        {label.label for label in answer.selected or ()} == truth[image] for image, answer in answers.items()
    )


def _check(bundle: ModelBundle, exact: int, images: int, rows: int) -> LabelMetrics:
    """The promise of the whole design: what was measured at release is what comes over the wire."""
    metrics, scores = bundle.contract.metrics, bundle.contract.label_metrics
    if scores is None or (exact, images) != (metrics.right, metrics.images):
        raise BundleInvalid(
            f"{exact} of {images} pictures are right over the wire, but {metrics.right} of "
            f"{metrics.images} at release"
        )
    if rows != images:
        raise BundleInvalid(f"{rows} rows were written for {images} pictures")
    return scores


def _show(trained: dict[str, object], scores: LabelMetrics, exact: int, images: int, seconds: float) -> None:
    facts = {
        "learning rate": f"{trained['learning_rate']:.2g}",
        "epochs": f"{trained['epochs']}",
        "mean average precision": f"{scores.map:.2%} of {images} held-out pictures",
        "micro F1, macro F1": f"{scores.micro_f1:.2%}, {scores.macro_f1:.2%}",
        "all digits right": f"{exact / images:.2%} at release and over gRPC, to the image",
        "report": f"{trained['report']}",
        "took": f"{seconds:.0f} s",
    }
    (HOME / "pairs.json").write_text(
        json.dumps({"map": scores.map, "exact": exact, "images": images, "seconds": round(seconds, 1)}) + "\n"
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        table.add_row(f"  {name}", value)
    console.print("\n[bold]What happened[/]")
    console.print(table, soft_wrap=True)


if __name__ == "__main__":
    exits.run(main)
