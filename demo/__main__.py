"""Trains, serves, classifies over gRPC and scores a folder; then says what happened.

Everything it makes is under `.demo/`; `.demo/summary.json` holds the figures.
"""

import json
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.dataset
from rich.console import Console
from rich.table import Table

from demo.processes import RunningServer, run_program, running_server
from fovea import exits
from fovea.client import Client, ModelVersion
from fovea.errors import BundleInvalid, ExitCode, SettingsInvalid
from fovea.model.bundle import ModelBundle
from fovea.stopping import Stopping

HOME = Path(".demo")
MODELS = HOME / "models" / "digits"
RUN = HOME / "runs" / "demo"
SCORES = HOME / "scores"
LOG = HOME / "server.log"
HELD_OUT = HOME / "cache" / "digits" / "val"

console = Console(highlight=False)


@dataclass(frozen=True)
class Served:
    """What came back over the wire for the held-out images."""

    images: int
    correct: int
    p50_ms: float
    p95_ms: float
    images_per_s: float
    model: ModelVersion


def main() -> ExitCode:
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(f"usage: python -m demo\n\n{__doc__}")
        return ExitCode.DONE
    if sys.argv[1:]:
        raise SettingsInvalid(f"python -m demo takes no options, such as {sys.argv[1]}")
    Stopping()
    started = time.monotonic()
    _start_afresh()
    _say("1/4", "Find the learning rate, train resnet34 on 1,797 real digits, release it")
    run_program(
        "trainer", "train", "--data", "digits", "--models", str(MODELS),
        "--size", "16", "--batch-size", "64", "--epochs", "auto", "--max-epochs", "15",
        "--runs", str(RUN.parent), "--run-id", RUN.name, "--cache-dir", str(HOME / "cache"),
        "--log-format", "text",
    )  # fmt: skip
    trained = json.loads((RUN / "summary.json").read_text())
    bundle = ModelBundle.open(Path(trained["model"]))
    with running_server(LOG, "--models", str(MODELS)) as server:
        _say("2/4", f"Serve it on {server.target}, classify the held-out images over gRPC")
        served = _classify_all(server)
        _say("3/4", "Score the held-out folder into parquet")
        run_program(
            "scorer", "run", str(HELD_OUT), "--models", str(MODELS),
            "--output", str(SCORES), "--run-id", "demo", "--log-format", "text",
        )  # fmt: skip
        _say("4/4", "Stop the server with SIGTERM")
        server.stop()
    rows = _parquet_rows()
    _check(bundle, served, rows)
    _write_summary(trained, served, rows)
    _show(trained, bundle, served, rows, time.monotonic() - started)
    return ExitCode.DONE


def _start_afresh() -> None:
    for folder in (HOME / "models", HOME / "runs", SCORES):
        shutil.rmtree(folder, ignore_errors=True)
    HOME.mkdir(exist_ok=True)


def _say(step: str, what: str) -> None:
    console.print(f"\n[bold]{step}[/]  {what}")


def _held_out() -> list[Path]:
    return sorted(HELD_OUT.glob("*/*.png"))


def _classify_all(server: RunningServer) -> Served:
    """Each image alone, one after the other, for the latencies; then all again with a window in flight."""
    images = _held_out()
    latencies_ms, correct = [], 0
    with Client(server.target) as client:
        for image in images:
            start = time.perf_counter()
            answer = client.classify(image)
            latencies_ms.append((time.perf_counter() - start) * 1000)
            correct += answer.label == image.parent.name
        start = time.perf_counter()
        answered = sum(1 for _ in client.classify_many(images))
        seconds = time.perf_counter() - start
    cuts = statistics.quantiles(latencies_ms, n=20)
    return Served(len(images), correct, cuts[9], cuts[18], answered / seconds, answer.model)


def _parquet_rows() -> int:
    data = SCORES / "runs" / "demo" / "data"
    return int(pyarrow.dataset.dataset(data, format="parquet").count_rows())


def _check(bundle: ModelBundle, served: Served, rows: int) -> None:
    """The promise of the whole design: what was measured at release is what comes over the wire."""
    released = round(bundle.contract.metrics.accuracy * bundle.contract.metrics.images)
    if (served.correct, served.images) != (released, bundle.contract.metrics.images):
        raise BundleInvalid(
            f"{served.correct} of {served.images} images are right over the wire, "
            f"but {released} of {bundle.contract.metrics.images} at release"
        )
    if served.model.digest != bundle.digest:
        raise BundleInvalid(f"the server answers with another model ({served.model.digest[:12]})")
    if rows != served.images:
        raise BundleInvalid(f"{rows} rows were written for {served.images} images")


def _write_summary(trained: dict[str, object], served: Served, rows: int) -> None:
    summary = {
        "learning_rate": trained["learning_rate"],
        "accuracy_training": trained["accuracy"],
        "verdict": trained["verdict"],
        "accuracy_served": served.correct / served.images,
        "images": served.images,
        "rows": rows,
        "p50_ms": round(served.p50_ms, 2),
        "model": str(MODELS),
        "report": str(trained["report"]),
        "parquet": str(SCORES / "runs" / "demo" / "data"),
    }
    (HOME / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def _show(trained: dict[str, object], bundle: ModelBundle, served: Served, rows: int, seconds: float) -> None:
    metrics = bundle.contract.metrics
    right = f"{served.correct} of {served.images}"
    facts = {
        "learning rate": f"{trained['learning_rate']:.2g}, chosen by the range test",
        "epochs": f"{trained['epochs']}",
        "accuracy at release": f"{metrics.accuracy:.2%} of {metrics.images} held-out images",
        "accuracy over gRPC": f"{served.correct / served.images:.2%} ({right}: the same, to the image)",
        "latency, lone caller": f"p50 {served.p50_ms:.1f} ms, p95 {served.p95_ms:.1f} ms",
        "16 calls in flight": f"{served.images_per_s:.0f} images/s",
        "scored": f"{rows} rows",
        "model": f"{bundle.path}",
        "report": f"{trained['report']}",
        "parquet": f"{SCORES / 'runs' / 'demo' / 'data'}",
        "took": f"{seconds:.0f} s",
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        table.add_row(f"  {name}", value)
    console.print("\n[bold]What happened[/]")
    console.print(table, soft_wrap=True)
    console.print(_next_steps(), soft_wrap=True)
    console.print(_verdict(bundle), soft_wrap=True, markup=False)


def _verdict(bundle: ModelBundle) -> str:
    """The report's, and what speaks against the model."""
    verdict = bundle.contract.verdict
    if verdict is None:
        raise BundleInvalid(f"{bundle.path}: it was released without a verdict")
    return "\n".join([f"\nVerdict: {verdict.word}", *(f"  {reason}" for reason in verdict.against)])


def _next_steps() -> str:
    image = _held_out()[0]
    return f"""
[bold]What to try next[/]  (after `. .venv/bin/activate`)
  open {RUN / "report.html"}
  python -m server --models {MODELS}
  python -m fovea.client {image} --target localhost:8001
  python -m trainer train --data YOUR_FOLDER --models models/NAME"""


if __name__ == "__main__":
    exits.run(main)
