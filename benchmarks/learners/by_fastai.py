"""fastai as its course says, where it is installed: `vision_learner`, the valley of its `lr_find`,
`fit_one_cycle` with its own optimizer (Adam, weight decay .01), the loader's own processes, and transforms of
whole batches.

Pretrained weights would bring their normalisation with them; random ones are given it here.
"""

import tempfile
from typing import Any

import fastai
import torch
import torchvision
from fastai.vision.all import (
    ImageDataLoaders,
    Normalize,
    accuracy,
    aug_transforms,
    imagenet_stats,
    set_seed,
    valley,
    vision_learner,
)

from benchmarks.fastai_training import Watch
from benchmarks.learners.lesson import LARGEST_ROTATION, SMALLEST_CROP, Learnt, Lesson, given, tell


def main() -> None:
    lesson = given()
    torch.set_num_threads(lesson.threads)
    set_seed(lesson.seed)
    watch = Watch()
    with tempfile.TemporaryDirectory() as scratch:
        loaders, architecture = _loaders(lesson), getattr(torchvision.models, lesson.arch)
        learner = vision_learner(loaders, architecture, pretrained=False, metrics=accuracy, path=scratch)
        with learner.no_bar(), learner.no_logging():
            lr = learner.lr_find(suggest_funcs=(valley,), show_plot=False).valley
            learner.fit_one_cycle(lesson.epochs, lr, cbs=[watch])
            loss, share = learner.validate()
    name = f"fastai {fastai.__version__}, torch {torch.__version__.partition('+')[0]}"
    tell(Learnt(name, lr, share, loss, len(loaders.train) * lesson.batch_size, watch.seconds))


def _loaders(lesson: Lesson) -> Any:
    changed = aug_transforms(
        size=lesson.size,
        min_scale=SMALLEST_CROP,
        max_rotate=LARGEST_ROTATION,
        do_flip=False,
        max_warp=0,
        max_lighting=0,
    )
    return ImageDataLoaders.from_folder(
        lesson.folder,
        train="train",
        valid="val",
        batch_tfms=[*changed, Normalize.from_stats(*imagenet_stats)],
        bs=lesson.batch_size,
        device=torch.device("cpu"),
    )


if __name__ == "__main__":
    main()
