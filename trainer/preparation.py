"""What comes before the first step: the data and the network."""

import logging
import random
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from fovea.command_line import flag
from fovea.errors import DataInvalid, SettingsInvalid
from fovea.images.formats import image_path_text
from fovea.images.spec import PreprocessSpec
from fovea.model.bundle import file_digest
from fovea.settings import as_saved
from trainer.config import LabelsSettings, LrFindSettings, TrainSettings
from trainer.fit.recipe import sizes_of_epochs
from trainer.images.audit import read_audit
from trainer.images.data import DataSet, read_images
from trainer.images.every_image import read_every_image
from trainer.images.grouping import Grouping
from trainer.images.labelling import ONE_LABEL, Labelling
from trainer.images.sources import Split, list_every_image, open_source
from trainer.network.checkpoint import CHECKPOINT_FILE, Checkpoint
from trainer.network.model import begin_at_prior, build_network, check_size
from trainer.network.precision import Precision, check_compiler, choose_precision
from trainer.network.timm_networks import preprocess_for
from trainer.network.weights import load_weights
from trainer.options import DIGITS, written
from trainer.options.architectures import is_timm
from trainer.ranks.agreement import DATA, OPTIONS, VERSIONS
from trainer.ranks.group import ALONE, Ranks
from trainer.resuming import CHANGEABLE, as_option
from trainer.runs.run_folder import RunFolder

logger = logging.getLogger(__name__)

AnySettings = LrFindSettings | TrainSettings | LabelsSettings


@dataclass(frozen=True)
class Start:
    """What there is before the first step."""

    data: DataSet
    checkpoint: Checkpoint
    precision: Precision
    weights_sha256: str | None
    ranks: Ranks = ALONE


def prepare(settings: AnySettings, ranks: Ranks = ALONE) -> Start:
    """Reads the data and builds the network, on all ranks the same.

    Raises what its parts raise, and where a rank has other data; nothing is written but caches.
    """
    epoch_sizes(settings)
    with ranks.one_a_node_first():
        start = _prepare(settings, ranks)
    ranks.confirm(DATA, lambda: _data_of(start))
    _check_shares(start, settings)
    ranks.equalise(start.checkpoint.network)
    return start


def _prepare(settings: AnySettings, ranks: Ranks) -> Start:
    precision = choose_machine(settings, ranks)
    split = list_images(settings)
    # The network first: weights that are missing are found in a second, and not after all has been decoded.
    continued = settings.continue_from if isinstance(settings, TrainSettings) else None
    checkpoint, digest = (
        _continue(continued, split) if continued else start_from_weights(settings, split.labels)
    )
    check_sizes(settings, checkpoint)
    data = read_data(split, settings, settings.threads, checkpoint.preprocess)
    if continued and read_audit(RunFolder(continued)).digest != data.digest:
        logger.warning("not the images of %s: those held out now may have been trained on then", continued)
    if data.train.task == "multi" and not continued:
        begin_at_prior(checkpoint.network, data.train.targets.mean(0))
    checkpoint.network.to(precision.device, memory_format=precision.memory_format)  # type: ignore[call-overload]
    return Start(data, checkpoint, precision, digest, ranks)


def prepare_every_image(settings: LabelsSettings) -> Start:
    """As `prepare`, for trainings that each hold some of the images out: both parts of the data are all of
    them, in one order, as trained on and as served.

    Raises as `prepare` does.
    """
    epoch_sizes(settings)
    precision = choose_machine(settings, ALONE)
    split = list_every_image(
        settings.source,
        settings.corrections,
        settings.cache_dir,
        grouping_of(settings),
        settings.captures,
    )
    checkpoint, digest = start_from_weights(settings, split.labels)
    check_sizes(settings, checkpoint)
    data = read_every_image(
        split,
        settings.source,
        checkpoint.preprocess,
        settings.cache_dir,
        max_bad_fraction=settings.max_bad_fraction,
        threads=settings.threads,
        in_training=_in_training(settings, checkpoint.preprocess),
        flip=settings.flip,
    )
    logger.info("%d images, %d classes", len(data.heldout), len(data.labels))
    for finding in data.findings():
        logger.warning("%s", finding)
    checkpoint.network.to(precision.device, memory_format=precision.memory_format)  # type: ignore[call-overload]
    return Start(data, checkpoint, precision, digest)


def choose_machine(settings: AnySettings, ranks: Ranks) -> Precision:
    """What is computed on, with the seeds sown."""
    if settings.source == "digits":
        _log_what_digits_imply(settings)
    precision = choose_precision(
        settings.device,
        settings.threads,
        settings.channels_last,
        size=settings.size,
        local_rank=ranks.local_rank,
    )
    if settings.compile:
        check_compiler(precision.device)
    random.seed(settings.seed)
    np.random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    return precision


def check_sizes(settings: AnySettings, checkpoint: Checkpoint) -> None:
    for size in settings.sizes:
        check_size(checkpoint.network, checkpoint.arch, size, f"--sizes {written(settings.sizes)}")


def confirm_alike(settings: AnySettings, ranks: Ranks) -> None:
    """Raises SettingsInvalid, on all ranks, where one has other options or versions."""
    ranks.confirm(OPTIONS, lambda: _options_of(settings))
    ranks.confirm(VERSIONS, lambda: _versions(settings))


def _options_of(settings: AnySettings) -> dict[str, str]:
    saved = as_saved(settings)
    told = {name: saved[name] for name in saved if name not in CHANGEABLE - {"run_id"}}
    return {
        flag(name): written(value) if isinstance(value, list) else str(value) for name, value in told.items()
    }


def _versions(settings: AnySettings) -> dict[str, str]:
    extra = ("timm",) if is_timm(settings.arch) else ()
    packages = ("fovea-vision", "torch", "torchvision", "numpy", *extra)
    return {**{name: _version(name) for name in packages}, "image path": image_path_text()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # who needs it says so
        return "none"


def _data_of(start: Start) -> dict[str, str]:
    used = f"{start.data.digest}, {len(start.data.train)} to train on"
    return {"images": used, "weights": str(start.weights_sha256)}


def _check_shares(start: Start, settings: AnySettings) -> None:
    """Batch norm needs two images of each rank."""
    per_step = settings.batch_size * settings.accumulate
    batch, world = min(per_step, len(start.data.train)), start.ranks.share.world
    if world > 1 and batch < 2 * world:
        raise SettingsInvalid(
            f"{world} ranks: a batch of {batch} images gives some of them fewer than two; "
            "use a larger --batch-size, more images, or fewer ranks"
        )


def start_from_weights(settings: AnySettings, labels: tuple[str, ...]) -> tuple[Checkpoint, str | None]:
    """A network as training begins with it, and the digest of the weights' file, if there is one."""
    network = build_network(settings.arch, len(labels), settings.size)
    digest = load_weights(
        network, settings.arch, settings.weights, settings.weights_sha256, settings.cache_dir
    )
    return Checkpoint(network, settings.arch, labels, preprocess_of(settings), 0), digest


def _continue(run: Path, split: Split) -> tuple[Checkpoint, str]:
    """With the digest of the weights' file."""
    checkpoint = Checkpoint.load(run)
    if checkpoint.labels != split.labels:
        other = sorted(set(checkpoint.labels) ^ set(split.labels))[0]
        raise DataInvalid(f"--continue-from {run}: that run has other classes than these images ({other!r})")
    return checkpoint, file_digest(run / CHECKPOINT_FILE)


def preprocess_of(settings: AnySettings) -> PreprocessSpec:
    """What is done to images, here and where the model serves."""
    return preprocess_for(settings.arch, settings.preprocess, settings.size, settings.resize)


def list_images(settings: AnySettings) -> Split:
    """What there is to train on, and what is held out."""
    return open_source(
        settings.source,
        settings.corrections,
        captures=settings.captures,
        val_fraction=settings.val_fraction,
        test_fraction=settings.test_fraction,
        seed=settings.seed,
        cache_dir=settings.cache_dir,
        grouping=grouping_of(settings),
        labelling=labelling_of(settings),
    )


def labelling_of(settings: AnySettings) -> Labelling:
    """How many labels an image has, and how its table tells them."""
    if isinstance(settings, LabelsSettings):
        return ONE_LABEL
    return Labelling(settings.task, settings.label_separator, settings.label_columns)


def grouping_of(settings: AnySettings) -> Grouping:
    """What says which images belong together."""
    return Grouping(settings.group, settings.group_pattern)


def read_data(split: Split, settings: AnySettings, threads: int, preprocess: PreprocessSpec) -> DataSet:
    """Decodes the images, and says what was left out.

    `preprocess` is what the network was trained with, of which a newer timm may say another.
    """
    data = read_images(
        split,
        settings.source,
        preprocess,
        settings.cache_dir,
        max_bad_fraction=settings.max_bad_fraction,
        threads=threads,
        in_training=_in_training(settings, preprocess),
        flip=settings.flip,
    )
    logger.info(
        "%d images to train on, %d held out, %s%d %s",
        len(data.train),
        len(data.heldout),
        f"{len(data.test)} to test on, " if data.test is not None else "",
        len(data.labels),
        "classes" if data.train.task == "single" else "labels",
    )
    if data.label_sets:
        logger.info("task multi: %s", data.label_sets.line())
    if data.groups:
        logger.info("%s: groups %s; none on two sides", data.groups.by, data.groups.line())
    for finding in data.findings():
        logger.warning("%s", finding)
    return data


def _in_training(settings: AnySettings, preprocess: PreprocessSpec) -> PreprocessSpec:
    """What is done to images that are trained on, by the interpolation that the network knows."""
    spec = preprocess_for(settings.arch, settings.preprocess_in_training, settings.size, settings.resize)
    return spec.model_copy(update={"interpolation": preprocess.interpolation})


def epoch_sizes(settings: AnySettings) -> tuple[int, ...]:
    """The images' size in each epoch, none without --sizes. Raises SettingsInvalid where the epochs cannot be
    divided over them."""
    if not settings.sizes or isinstance(settings, LrFindSettings):
        return ()
    sizes = f"--sizes {written(settings.sizes)}"
    if settings.epochs == "auto":
        raise SettingsInvalid(f"{sizes} divide a number of --epochs, and auto is none")
    epochs = settings.epochs + (settings.frozen_epochs if settings.weights != "none" else 0)
    if epochs < len(settings.sizes):
        missing = f"more --epochs: there {'is' if epochs == 1 else 'are'} {epochs}, with the frozen ones"
        raise SettingsInvalid(f"{sizes} want {missing}, and {len(settings.sizes)} sizes")
    return sizes_of_epochs(settings.sizes, epochs)


def _log_what_digits_imply(settings: AnySettings) -> None:
    names = [n for n in DIGITS if n in type(settings).model_fields and n not in settings.model_fields_set]
    implied = ", ".join(as_option(name, getattr(settings, name)) for name in names)
    logger.info("--data digits implies what is not given otherwise: %s", implied or "all is given")
