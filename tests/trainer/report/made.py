"""Reports of a real run, but for what the network made of the held-out images: that is as a test wants it."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from markupsafe import Markup

from fovea.model.bundle import read_contract
from trainer.compare.weighing import Weighed
from trainer.evaluate.calibration import calibrate
from trainer.evaluate.latency import Latency
from trainer.evaluate.metrics import measure, softmax
from trainer.images.batches import Images
from trainer.images.listing import Sample
from trainer.network.model import build_network
from trainer.report import contents as report_contents
from trainer.report.contents import Evidence
from trainer.report.page import render_report
from trainer.report.released import ReleasedFile, ReleasedFiles
from trainer.runs.run_folder import RunFolder

DISTINCT = 50
"""Pictures, of which every image has one: large ones are not kept by the thousand."""
FILES = ReleasedFiles(
    (
        ReleasedFile("fp32", 46.8, 0.9, 0.0, "a" * 64, Latency(2.5, 400, 32)),
        ReleasedFile("int8", 11.9, 0.88, 0.02, "b" * 64, Latency(1.25, 800, 32)),
    ),
    {"fp16": "it cannot be converted"},
    "a processor, 1 thread",
)

CHARTS_OF_A_RUN = ("draw_curve", "draw_losses", "draw_accuracy", "draw_rates")
DRAWN: dict[tuple[str, bytes], Markup] = {}
"""Which chart, and of what -> the chart: most reports here are of one run, whose charts take longer to draw
than all the rest of its report."""


def make_images(
    targets: Sequence[int],
    labels: tuple[str, ...],
    size: int = 32,
    name: str = "{}.png",
    groups: Sequence[str] = (),
) -> Images:
    """Held-out images of noise, which compresses worse than any photograph."""
    pixels = np.random.default_rng(0).integers(0, 256, (min(len(targets), DISTINCT), size, size, 3), np.uint8)
    samples = tuple(
        Sample(Path(f"{place}.png"), labels[target], name.format(place), groups[place] if groups else None)
        for place, target in enumerate(targets)
    )
    return Images(pixels, np.arange(len(targets)) % DISTINCT, np.array(targets), samples)


def make_page(
    trained: Path,
    labels: tuple[str, ...],
    answers: Sequence[tuple[int, int]],
    *,
    run: Path | None = None,
    size: int = 32,
    files: ReleasedFiles = FILES,
    weighed: Weighed | None = None,
    **contents: Any,
) -> str:
    """The report where each held-out image got an answer: `answers` are pairs (truth, said) of classes.

    The later an image stands, the surer its answer. `contents` change the bundle's contract.
    """
    targets, said = np.array([t for t, _ in answers]), np.array([s for _, s in answers])
    name, groups = contents.pop("file_name", "{}.png"), contents.pop("groups", ())
    heldout = make_images(targets.tolist(), labels, size, name, groups)
    logits = np.random.default_rng(1).normal(0, 0.1, (len(answers), len(labels))).astype(np.float32)
    logits[np.arange(len(answers)), said] += np.linspace(2, 6, len(answers), dtype=np.float32)
    calibration = calibrate(logits, heldout.targets, 0.99)
    contract = read_contract(trained / "models" / "tiny" / "1")
    metrics = measure(
        softmax(logits / calibration.temperature), heldout.targets, labels, calibration.abstain_threshold
    )
    contract = contract.model_copy(update={"labels": labels, "metrics": metrics, **contents})
    torch.manual_seed(0)
    network = build_network("shufflenet_v2_x0_5", len(labels), size)
    evidence = Evidence(heldout, logits, calibration, network)
    with _known_charts():
        return render_report(RunFolder(run or trained / "runs" / "a"), contract, evidence, files, weighed)


@contextmanager
def _known_charts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in CHARTS_OF_A_RUN:
            patch.setattr(report_contents, name, _drawn_once(name, getattr(report_contents, name)))
        yield


def _drawn_once(name: str, draw: Callable[[Any], Markup]) -> Callable[[Any], Markup]:
    def drawn(of: object) -> Markup:
        key = name, pickle.dumps(of)
        if key not in DRAWN:
            DRAWN[key] = draw(of)
        return DRAWN[key]

    return drawn


ANIMALS = ("cat", "dog", "owl")
"""Of ten images each: two cats are taken for dogs, and an owl for a cat."""
ANSWERS = [(0, 0)] * 8 + [(0, 1)] * 2 + [(1, 1)] * 10 + [(2, 2)] * 9 + [(2, 0)]
