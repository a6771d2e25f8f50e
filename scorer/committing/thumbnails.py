"""Small pictures of images whose label changed, for summary.html: read from the source when a run ends."""

import base64
import io
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

from fovea.errors import FoveaError, ImageInvalid, ObjectChanged, ObjectMissing, ObjectUnreadable
from fovea.images.preprocess import decode_image
from fovea.images.spec import PreprocessSpec
from fovea.stores.folder import Folder
from scorer.committing.changes import ChangedImage
from scorer.files.folders import open_source
from scorer.files.plan import RunSpec

logger = logging.getLogger(__name__)

MOST: Final = 30
PATIENCE_S: Final = 30.0
"""The run is done by then: no more reads are begun after this time."""
SPEC: Final = PreprocessSpec(size=96, resize=96)
QUALITY: Final = 80


@dataclass(frozen=True)
class Thumbnail:
    """A picture, or why there is none."""

    address: str | None
    """a data URI"""
    why_not: str = ""


def read_thumbnails(run: RunSpec, changed: Sequence[ChangedImage]) -> list[Thumbnail]:
    """Of the first 30, in their order. An image that is another by now is not shown.

    A source that cannot be reached costs the pictures, and a warning, but never the run.
    """
    pictured = changed[:MOST]
    taken: list[Thumbnail] = []
    ends = time.monotonic() + PATIENCE_S
    try:
        source = open_source(run.source) if pictured else None
        while source and len(taken) < len(pictured) and time.monotonic() < ends:
            taken.append(_read(source, run, pictured[len(taken)]))
    except FoveaError as error:
        logger.warning("summary.html shows no more images that changed their label: %s", error)
    return taken + [Thumbnail(None, "not read")] * (len(pictured) - len(taken))


def _read(source: Folder, run: RunSpec, image: ChangedImage) -> Thumbnail:
    try:
        data = source.read(image.key, image.etag)
        pixels = decode_image(data, SPEC, max_bytes=run.max_image_bytes, max_pixels=run.max_image_pixels)
    except ObjectMissing:
        return Thumbnail(None, "gone by now")
    except ObjectUnreadable:
        return Thumbnail(None, "cannot be read")
    except ObjectChanged:
        return Thumbnail(None, "another by now")
    except ImageInvalid:
        return Thumbnail(None, "cannot be decoded")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY)
    return Thumbnail(f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}")
