"""`look`: a page that explains a trained network by an image."""

import hashlib
from typing import Final

import torch

from fovea.cpus import available_cpus
from fovea.errors import DataInvalid, ImageInvalid
from fovea.images.preprocess import MAX_IMAGE_BYTES, Pixels, decode_image
from fovea.images.spec import PreprocessSpec
from fovea.model.bundle import CONTRACT_FILE, read_contract
from fovea.printable import printable
from fovea.stopping import Stopping
from fovea.stores.storage import open_folder
from trainer.config import LookSettings
from trainer.explain import explanation
from trainer.explain.page import Origin, render_page
from trainer.network.checkpoint import CHECKPOINT_FILE, Checkpoint
from trainer.runs.lineage import Lineage
from trainer.runs.release_record import ReleaseRecord
from trainer.runs.run_folder import LOOKS, SETTINGS_FILE, RunFolder

LONGEST_NAME_BYTES: Final = 200
"""Of a page's file, without its ending: a file system takes 255, of which some are kept for writing it."""


def look(settings: LookSettings) -> None:
    """Writes the page and prints the most probable classes and where it is.

    Raises DataInvalid for what is no image or no run, Unavailable where the page cannot be written.
    """
    Stopping()
    folder, run = RunFolder.output(settings.output, LOOKS), RunFolder(settings.run)
    torch.set_num_threads(available_cpus())
    checkpoint = _load(run)
    if run.holds(SETTINGS_FILE) and run.read_json(SETTINGS_FILE).get("task") == "multi":
        raise DataInvalid(
            f"{run.path}: a multi-label network, and `look` explains the choice of one class; its report "
            "has the places that speak for each label"
        )
    temperature = _temperature(run, checkpoint)
    name = settings.image.rstrip("/").rpartition("/")[2]
    image = explanation.NamedImage(name, _decode(settings.image, checkpoint.preprocess))
    explained = explanation.explain(checkpoint.network, checkpoint.labels, [image], temperature or 1.0)
    origin = Origin(checkpoint.arch, run.path.resolve().name, checkpoint.epochs, temperature is not None)
    folder = folder.claim()
    page = f"{_fitting(name)}.html"
    folder.write_text(page, render_page(explained, origin))
    for ranked in explained.images[0].classes:
        print(f"{ranked.probability:7.2%}  {printable(ranked.label)}")
    print(f"\n{printable(str(folder.path / page))}")


def _load(run: RunFolder) -> Checkpoint:
    if run.holds(CONTRACT_FILE) and not run.holds(CHECKPOINT_FILE):
        origin = Lineage.of(read_contract(run.path).training).run
        raise DataInvalid(
            f"{run.path}: a released model, which has no {CHECKPOINT_FILE} to look into; --run should be the "
            f"folder of its run{f', {origin}' if origin else ''}"
        )
    return Checkpoint.load(run.path)


def _temperature(run: RunFolder, checkpoint: Checkpoint) -> float | None:
    """What the released model divides logits by: of the bundle that the checkpoint lies beside, or else of
    what the run published. None where nothing was released."""
    if run.holds(CONTRACT_FILE):
        contract = read_contract(run.path)
        if contract.labels != checkpoint.labels:
            raise DataInvalid(f"{run.path}: {CHECKPOINT_FILE} and {CONTRACT_FILE} have different labels")
        return contract.temperature
    record = ReleaseRecord.read(run)
    return record.temperature if record else None


def _fitting(name: str) -> str:
    """A name that a file can have: of a longer one its beginning, and what tells it from others like it."""
    written = name.encode()
    if len(written) <= LONGEST_NAME_BYTES:
        return name
    digest = hashlib.sha256(written).hexdigest()[:8]
    return f"{written[: LONGEST_NAME_BYTES - 9].decode(errors='ignore')}-{digest}"


def _decode(uri: str, spec: PreprocessSpec) -> Pixels:
    """As serving does."""
    parent, _, name = uri.rpartition("/")
    folder = open_folder(parent or ("/" if uri.startswith("/") else "."))
    try:
        if (size := folder.stat(name).size) > MAX_IMAGE_BYTES:  # which need not be read to be refused
            raise ImageInvalid("too_many_bytes", f"it has {size} bytes, more than {MAX_IMAGE_BYTES}")
        return decode_image(folder.read(name), spec)
    except ImageInvalid as error:
        raise ImageInvalid(error.reason, f"{uri}: {error}") from error
