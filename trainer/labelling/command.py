"""`label`: the captured images that would teach most, on a page to label them."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Final

import torch

from fovea.capture.files import require_pyarrow
from fovea.capture.reading import read_captures
from fovea.errors import DataInvalid, SettingsInvalid
from fovea.model import versions
from fovea.model.bundle import BundleContract
from fovea.pages import counted
from fovea.stopping import Stopping
from trainer.config import LabelSettings
from trainer.images.captured import holds_captures
from trainer.labelling.gathering import Gathered, Gathering
from trainer.labelling.page import Labelled, render_page, title_of
from trainer.labelling.pictures import grouped
from trainer.labelling.saving import CORRECTIONS_FILE, Saved, labelled_in, read_rows
from trainer.labelling.serving import HOST, listening
from trainer.runs.run_folder import LABEL_PAGES, RunFolder

logger = logging.getLogger(__name__)

PAGE_FILE: Final = "label.html"
MOST_NAMED: Final = 3


def label(settings: LabelSettings) -> None:
    """Writes label.html and says where it is; with `serve`, serves it until a signal comes. Raises what its
    parts raise, DataInvalid where there is nothing to label, and SettingsInvalid for a multi-label model."""
    stopping = Stopping()
    require_pyarrow(settings.captures)
    torch.set_num_threads(settings.threads)
    folder = RunFolder.output(settings.output, LABEL_PAGES)
    contract = versions.open_bundle(settings.models, settings.cache_dir).contract
    if contract.thresholds is not None:
        raise SettingsInvalid(
            f"{settings.models}: {contract.name} is multi-label, and the page gives an image one label: "
            "label what it captured (the column `labels`) elsewhere"
        )
    if not holds_captures(settings.captures):
        raise DataInvalid(f"{settings.captures}: there are no captures (date=*/fovea-capture-*.parquet)")
    if settings.serve:
        folder = folder.claim()
    # from before its rows are read: whoever serves the same folder would add to them meanwhile
    with folder.locked() if settings.serve else nullcontext():
        _make_page(settings, contract, folder, stopping)


def _make_page(
    settings: LabelSettings, contract: BundleContract, folder: RunFolder, stopping: Stopping
) -> None:
    earlier = read_rows(folder.path)
    gathering = Gathering(contract.name, labelled_in(earlier), settings.limit)
    gathered = gathering.gather(read_captures(settings.captures), settings.threads)
    told = list(_left_out(gathered))
    for line in told:
        logger.warning("%s", line)
    if not gathered.images:
        raise DataInvalid("; ".join([f"{settings.captures}: no image of {contract.name!r} to label", *told]))
    pictures = [each.picture for each in gathered.images]
    groups = grouped(pictures, [each.row.label for each in gathered.images])
    labelled = Labelled(contract, gathered.images, groups, earlier, told)
    print("\n".join(_describe(labelled, gathered)), flush=True)
    if settings.serve:
        _serve(labelled, folder, settings.port, stopping)
    else:
        folder = folder.claim()
        folder.write_text(PAGE_FILE, render_page(labelled))
        print(f"label them in {folder.path / PAGE_FILE}", flush=True)
        print(f"what it saves by download belongs into {folder.path / CORRECTIONS_FILE}", flush=True)


def _serve(labelled: Labelled, folder: RunFolder, port: int, stopping: Stopping) -> None:
    token = secrets.token_urlsafe(24)
    images = [each.row for each in labelled.images]
    saved = Saved(folder.path, labelled.earlier, images, labelled.contract.labels)
    page = render_page(labelled, token).encode()
    with listening(port, token, page, saved) as server:
        print(f"label them at http://{HOST}:{server.port}/?token={token}", flush=True)
        print(f"each answer is saved in {folder.path / CORRECTIONS_FILE}; Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        finally:
            with stopping.deferred():  # a save that is under way is waited for
                print(f"{len(saved.answers())} of {len(labelled.images)} were labelled", flush=True)


def _describe(labelled: Labelled, gathered: Gathered) -> Iterator[str]:
    shown, several = len(labelled.images), [group for group in labelled.groups if len(group) > 1]
    best = "all" if shown == gathered.found else "those that would teach most"
    yield f"{title_of(labelled.contract)}: {shown:,} of {gathered.found:,} captured images: {best}"
    if several:
        yield f"nearly the same: {sum(map(len, several)):,} of them, in {counted(len(several), 'group')}"


def _left_out(gathered: Gathered) -> Iterator[str]:
    """A line for each kind of what is not on the page."""
    if gathered.bad:
        named = "; ".join(f"{name[:12]}: {why}" for name, why in list(gathered.bad.items())[:MOST_NAMED])
        yield f"left out as undecodable: {counted(len(gathered.bad), 'image')}; {named}"
    if gathered.without_bytes:
        yield f"left out as captured without the image: {counted(gathered.without_bytes, 'answer')}"
    if gathered.labelled_before:
        yield f"left out as labelled in {CORRECTIONS_FILE}: {counted(gathered.labelled_before, 'answer')}"
    if gathered.other_models:
        named = ", ".join(f"{name!r} ({count:,})" for name, count in gathered.other_models.most_common(3))
        yield f"left out as other models' answers: {named}"
