"""Weights of seven bits and of eight: how near to fp32 each answers, and how fast.

    python -m benchmarks.int8_ranges

The networks learn scikit-learn's handwritten digits under noise that leaves them in doubt; what is counted
is how often and how far a quantized one differs from its own fp32, on 1,794 images that it has not seen.
Speed is that of an untrained resnet34 at 224 px, on one thread, in turns.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from benchmarks.arguments import positive_int
from benchmarks.machine import describe_machine
from benchmarks.serving_models import contract_of, export_untrained_resnet34
from fovea.images.preprocess import Pixels
from fovea.images.spec import PreprocessSpec
from fovea.model.sessions import SessionOptions, open_session
from trainer.evaluate.metrics import Logits, softmax
from trainer.network.model import build_network
from trainer.release.export import ServedNetwork, export_onnx
from trainer.release.variants import write_int8

ARCHITECTURES: Final = ("resnet18", "resnet34")
SIDE: Final = 32
SPEC: Final = PreprocessSpec(size=SIDE, resize=SIDE)
TRAINED_ON, BATCH, DRAWS, CALIBRATED_ON = 900, 50, 2, 256
NOISE: Final = (60.0, 110.0)
"""Standard deviation, in levels of 255, drawn for each image."""
KINDS: Final = {"int8": (False, False), "int8-full": (True, False), "int8-full, exact kernels": (True, True)}
"""Whether with all eight bits, whether with kernels that need no VNNI."""
ROUNDS: Final = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=positive_int, default=8)
    parser.add_argument("--architectures", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES)
    options = parser.parse_args()
    torch.manual_seed(0)
    print(f"{describe_machine(torch.device('cpu'), torch.get_num_threads())}\n")
    print("| network | precision | accuracy | top-1 as fp32's | mean distance of a probability | largest |")
    print("|---|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        for architecture in options.architectures:
            for line in compare_answers(architecture, options.epochs, Path(scratch)):
                print(line, flush=True)
        print()
        for line in compare_speed(Path(scratch)):
            print(line, flush=True)


@dataclass(frozen=True)
class Digits:
    """uint8 [n, 32, 32, 3] with their digits."""

    images: torch.Tensor
    targets: torch.Tensor

    @classmethod
    def all(cls) -> "tuple[Digits, Digits]":
        """To train on, and held out."""
        digits = load_digits()
        images = torch.tensor(digits.images / 16 * 255, dtype=torch.float32)[:, None]
        images = functional.interpolate(images, (SIDE, SIDE), mode="bilinear").expand(-1, 3, -1, -1)
        order = torch.randperm(len(images))
        known, new = order[:TRAINED_ON], order[TRAINED_ON:].repeat(DRAWS)
        targets = torch.tensor(digits.target)
        return cls(images[known], targets[known]), cls(images[new], targets[new])

    def noisy(self) -> torch.Tensor:
        deviations = torch.empty(len(self.images), 1, 1, 1).uniform_(*NOISE)
        noise = functional.interpolate(torch.randn(len(self.images), 3, SIDE // 4, SIDE // 4), (SIDE, SIDE))
        mixed = self.images + deviations * noise
        return mixed.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def batches(self) -> "Iterator[Digits]":
        for places in torch.split(torch.randperm(len(self.images)), BATCH):
            yield Digits(self.images[places], self.targets[places])


def compare_answers(architecture: str, epochs: int, folder: Path) -> Iterator[str]:
    """A line for each precision."""
    known, new = Digits.all()
    model = folder / f"{architecture}.onnx"
    train(architecture, known, epochs, model)
    pixels, targets = new.noisy().numpy(), new.targets.numpy()
    expected = answers(model, pixels, SessionOptions())
    yield f"| {architecture} | fp32 | {(expected.argmax(1) == targets).mean():.2%} | | | |"
    calibration = known.noisy().numpy()[:CALIBRATED_ON]
    for kind, (full_range, exact_sums) in KINDS.items():
        quantized = folder / f"{architecture}.{full_range}.onnx"
        if not quantized.exists():
            write_int8(model, quantized, calibration, full_range=full_range)
        probabilities = answers(quantized, pixels, SessionOptions(exact_sums=exact_sums))
        off = np.abs(probabilities - expected).max(axis=1)
        same = (probabilities.argmax(1) == expected.argmax(1)).mean()
        right = (probabilities.argmax(1) == targets).mean()
        yield f"| | {kind} | {right:.2%} | {same:.2%} | {off.mean():.4f} | {off.max():.3f} |"


def train(architecture: str, digits: Digits, epochs: int, model: Path) -> None:
    network = build_network(architecture, 10, SIDE)
    served = ServedNetwork(network, 1.0)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = epochs * -(-TRAINED_ON // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for batch in digits.batches():
            logits = served(batch.noisy())[0]
            optimizer.zero_grad()
            functional.cross_entropy(logits, batch.targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    export_onnx(served.eval(), contract_of(architecture, SPEC, tuple(map(str, range(10)))), model)


def answers(model: Path, pixels: Pixels, options: SessionOptions) -> Logits:
    """Probabilities float32 [n, classes]."""
    session = open_session(model, "cpu", options)
    parts = [session.run(["logits"], {"pixels": pixels[i : i + 64]})[0] for i in range(0, len(pixels), 64)]
    return softmax(np.concatenate(parts))


def compare_speed(folder: Path) -> Iterator[str]:
    """CPU milliseconds of an image, the medians of rounds that take turns."""
    model = folder / "speed.onnx"
    export_untrained_resnet34(model)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 224, 224, 3), np.uint8)
    sessions = {"fp32": open_session(model, "cpu", SessionOptions(1))}
    for kind, (full_range, exact_sums) in KINDS.items():
        quantized = folder / f"speed.{full_range}.onnx"
        write_int8(model, quantized, pixels, full_range=full_range)
        sessions[kind] = open_session(quantized, "cpu", SessionOptions(1, exact_sums=exact_sums))
    for batch in (1, 8):
        times: dict[str, list[float]] = {kind: [] for kind in sessions}
        for _ in range(ROUNDS):
            for kind, session in sessions.items():
                began = time.process_time()
                session.run(["probabilities"], {"pixels": pixels[:batch]})
                times[kind].append(1e3 * (time.process_time() - began) / batch)
        medians = ", ".join(f"{kind} {statistics.median(spent):.1f}" for kind, spent in times.items())
        yield f"resnet34, batches of {batch}, CPU ms an image: {medians}"


if __name__ == "__main__":
    main()
