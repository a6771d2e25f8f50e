"""How long a page to label captured images takes to be made, to open, and from a key to the next image.

    python -m benchmarks.labelling
    python -m benchmarks.labelling --images 500

Photographs of 500 x 375 pixels are captured, `python -m trainer label` makes its page of them, and Chromium
opens it from disk. A key is pressed for each of the first images; its time ends when the next one is decoded,
and when a frame was drawn with it.
"""

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import torch
from playwright.sync_api import Page, sync_playwright

from benchmarks.arguments import positive_int
from benchmarks.machine import describe_machine
from benchmarks.processes import run, said_by
from benchmarks.serving_models import LABELS, photographs, publish_tiny
from fovea.capture.files import put_window
from fovea.capture.rows import Captured, Window
from fovea.cpus import available_cpus
from fovea.stores.storage import LocalFolder

BEGAN: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
EACH_FILE: Final = 500
ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
DRAWN: Final = "new Promise(drawn => requestAnimationFrame(() => setTimeout(drawn)))"
"""Right after the next frame."""
FIRST: Final = f"""async () => {{
    while (!document.querySelector("#pictures img")?.naturalWidth) await {DRAWN};
    return performance.now();
}}"""
WHOLE: Final = "performance.timing.loadEventEnd - performance.timing.navigationStart"
KEYS: Final = f"""async (presses) => {{
    const times = [];
    for (let press = 0; press < presses; press += 1) {{
        const key = String(press % 9 + 1), began = performance.now();
        document.body.dispatchEvent(new KeyboardEvent("keydown", {{ key, bubbles: true }}));
        await document.querySelector("#pictures img").decode();
        const decoded = performance.now();
        await {DRAWN};
        times.push([decoded - began, performance.now() - began]);
    }}
    return times;
}}"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labelling", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--images", type=positive_int, default=2000)
    parser.add_argument("--presses", type=positive_int, default=500)
    options = parser.parse_args()
    print(describe_machine(torch.device("cpu"), available_cpus()), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        publish_tiny(work / "models", work / "staging")
        _capture(work / "captures", options.images)
        page = _make(work, options.images)
        _measure(page, options.presses)


def _make(work: Path, images: int) -> Path:
    began, page = time.perf_counter(), work / "out" / "label.html"
    flags = ("--models", str(work / "models"), "--output", str(page.parent), "--limit", str(images))
    said_by([sys.executable, "-m", "trainer", "label", str(work / "captures"), *flags])
    took, size_bytes = time.perf_counter() - began, page.stat().st_size
    print(f"{took:.1f} s for a page of {images:,} captures: {size_bytes / 1e6:.1f} MB", flush=True)
    return page


def _capture(folder: Path, count: int) -> None:
    rows = list(_rows(count))
    for start in range(0, count, EACH_FILE):
        window = Window(BEGAN, BEGAN + timedelta(minutes=5), 100 * count, {}, 0.01)
        put_window(LocalFolder(folder), f"benchmark-{start}", rows[start : start + EACH_FILE], window)


def _rows(count: int) -> Iterator[Captured]:
    generator = np.random.default_rng(0)
    for image in photographs(count, 500, 375):
        best = np.sort(generator.dirichlet(np.ones(5)))[::-1]
        tops = tuple(LABELS[place] for place in generator.permutation(len(LABELS))[:5])
        yield Captured(
            image=image,
            sha256=hashlib.sha256(image).hexdigest(),
            size_bytes=len(image),
            label=tops[0],
            probability=float(best[0]),
            top_labels=tops,
            top_probabilities=tuple(best[: len(tops)].tolist()),
            margin=float(best[0] - best[1]),
            abstained=bool(best[0] < 0.5),
            distance=None,
            unknown=None,
            model_name="models",
            model_version=1,
            model_digest="0" * 64,
            answered_at=BEGAN,
            reason="small_margin",
        )


def _measure(file: Path, presses: int) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*ARGUMENTS])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(file.as_uri(), wait_until="commit")
        print(f"{page.evaluate(FIRST):.0f} ms to the first image")
        page.wait_for_load_state("load")
        print(f"{page.evaluate(WHOLE)} ms to the whole page")
        _press(page, presses)
        page.reload(wait_until="commit")
        print(f"{page.evaluate(FIRST):.0f} ms to the next image when it is loaded again")
        browser.close()


def _press(page: Page, presses: int) -> None:
    times = np.array(page.evaluate(KEYS, presses))
    for name, column in (("decoded", times[:, 0]), ("drawn", times[:, 1])):
        p50, p95, most = np.percentile(column, [50, 95, 100])
        print(f"from a key to the next image {name}: p50 {p50:.1f} ms, p95 {p95:.1f}, longest {most:.1f}")
    print(
        f"{page.locator('#done').inner_text()}, {page.evaluate('document.images.length')} <img> in the page"
    )


if __name__ == "__main__":
    run(main)
