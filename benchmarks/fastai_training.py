"""fastai's training of the same folder; benchmarks.training runs it where fastai is installed.

Takes JSON as its argument, prints JSON: images/s of the second and third epochs' steps.
"""

import json
import statistics
import sys
import time

import torch
import torchvision
from fastai.callback.core import Callback
from fastai.vision.all import ImageDataLoaders, Resize, aug_transforms, vision_learner


class Watch(Callback):  # type: ignore[misc]
    """Seconds of each epoch's training part."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def before_train(self) -> None:
        self.started = time.perf_counter()

    def after_train(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self.started)


def main() -> None:
    wanted = json.loads(sys.argv[1])
    torch.set_num_threads(wanted["threads"])
    cuda = wanted["device"] != "cpu" and torch.cuda.is_available()
    loaders = ImageDataLoaders.from_folder(
        wanted["folder"],
        train="train",
        valid="val",
        item_tfms=Resize(round(wanted["size"] * 8 / 7)),
        batch_tfms=aug_transforms(size=wanted["size"], min_scale=0.35),
        bs=wanted["batch_size"],
        device=torch.device("cuda" if cuda else "cpu"),
    )
    watch = Watch()
    architecture = getattr(torchvision.models, wanted["arch"])
    learner = vision_learner(loaders, architecture, pretrained=False, cbs=[watch])
    learner = learner.to_fp16() if cuda else learner
    learner.unfreeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(3, 1e-3)
    images = len(loaders.train) * wanted["batch_size"]
    print(json.dumps({"images_per_s": images / statistics.median(watch.seconds[1:])}))


if __name__ == "__main__":
    main()
