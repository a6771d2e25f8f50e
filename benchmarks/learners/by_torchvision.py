"""A plain loop: torchvision's network and transforms, two processes that load, AdamW as torch has it (weight
decay .01) and OneCycleLR up to a rate that is said here, without a range test."""

import time
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.learners.lesson import LARGEST_ROTATION, SMALLEST_CROP, Learnt, Lesson, given, tell

LR: Final = 1e-3
MEAN: Final = [0.485, 0.456, 0.406]
STD: Final = [0.229, 0.224, 0.225]


def main() -> None:
    lesson = given()
    torch.set_num_threads(lesson.threads)
    torch.manual_seed(lesson.seed)
    train, heldout = _loaders(lesson)
    network = getattr(torchvision.models, lesson.arch)(num_classes=len(train.dataset.classes))
    optimizer = torch.optim.AdamW(network.parameters(), LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=lesson.epochs * len(train))
    train_s = []
    for _ in range(lesson.epochs):
        network.train()
        started = time.perf_counter()
        for images, targets in train:
            loss = F.cross_entropy(network(images), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        train_s.append(time.perf_counter() - started)
        accuracy, heldout_loss = _score(network, heldout)
    name = f"a plain loop, torchvision {version('torchvision')}, torch {version('torch')}"
    tell(Learnt(name, LR, accuracy, heldout_loss, len(train) * lesson.batch_size, train_s))


def _loaders(lesson: Lesson) -> tuple[Any, Any]:
    ratio = (SMALLEST_CROP, 1 / SMALLEST_CROP)
    crop = v2.RandomResizedCrop(lesson.size, (SMALLEST_CROP, 1), ratio)
    turn = v2.RandomRotation(LARGEST_ROTATION, v2.InterpolationMode.BILINEAR)
    network_input = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    train = ImageFolder(f"{lesson.folder}/train", v2.Compose([turn, crop, *network_input]))
    heldout = ImageFolder(f"{lesson.folder}/val", v2.Compose([v2.Resize(lesson.size), *network_input]))
    load = partial(DataLoader, batch_size=lesson.batch_size, num_workers=2, persistent_workers=True)
    return load(train, shuffle=True, drop_last=True), load(heldout)


@torch.no_grad()
def _score(network: nn.Module, heldout: Any) -> tuple[float, float]:
    """(accuracy, mean loss)."""
    network.eval()
    logits, targets = map(torch.cat, zip(*((network(x), y) for x, y in heldout), strict=True))
    return (logits.argmax(1) == targets).float().mean().item(), F.cross_entropy(logits, targets).item()


if __name__ == "__main__":
    main()
