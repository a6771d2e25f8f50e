"""The model that was trained beside the latest version: for the report, and for who may take its place."""

import logging
from dataclasses import dataclass

from fovea.errors import BundleInvalid, DataInvalid, Unavailable
from fovea.model.bundle import ModelBundle
from trainer.compare.weighing import Guard, Labelled, Weighed, weigh

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Beside:
    weighed: Weighed | None = None
    """None where nothing was compared"""
    error: Exception | None = None
    """why nothing can be"""


def beside_latest(
    new: ModelBundle,
    models: str,
    guard: Guard,
    images: Labelled,
    threads: int,
    *,
    decides: bool,
    corrected: bool,
) -> Beside:
    """Compared where that `decides` who is the latest, or labels were `corrected` and somebody wants to know
    what for.

    What hinders it does not end a training: the latest may be damaged. Raises Unavailable where it decides.
    """
    if not (decides or corrected):
        return Beside()
    try:
        weighed = weigh(new, models, images, guard, threads)
    except (BundleInvalid, DataInvalid, Unavailable) as error:
        if decides and isinstance(error, Unavailable):
            raise
        logger.warning("the model cannot be compared with the latest: %s", error)
        return Beside(error=error)
    logger.info("%s", weighed.words)
    return Beside(weighed)
