"""How many processes speak gRPC."""

import os
from typing import Final

from fovea.cpus import available_cpus
from fovea.errors import SettingsInvalid
from server.choices import AUTO
from server.config import ServeSettings

CORES_OF_A_FRONT: Final = 8
"""Each computes some hundred images of a cheap network in a second, and a front answers 3,000 calls."""
CORES_OF_A_FRONT_BESIDE_A_GPU: Final = 4
"""They only decode."""
MOST: Final = 4


def fronts_of(settings: ServeSettings) -> int:
    """Raises SettingsInvalid where there cannot be several."""
    can_share = hasattr(os, "memfd_create")
    if settings.fronts != AUTO:
        count = int(settings.fronts)
        if count > 1 and not can_share:
            raise SettingsInvalid("--fronts: several are for Linux alone; choose 1")
        return count
    cores = min(settings.threads or MOST * CORES_OF_A_FRONT, available_cpus())
    if not can_share or cores < CORES_OF_A_FRONT_BESIDE_A_GPU:
        return 1
    return fronts_for(cores, has_gpu=_has_gpu(settings))


def fronts_for(cores: int, *, has_gpu: bool) -> int:
    of_a_front = CORES_OF_A_FRONT_BESIDE_A_GPU if has_gpu else CORES_OF_A_FRONT
    return min(MOST, cores // of_a_front + 1)


def _has_gpu(settings: ServeSettings) -> bool:
    if settings.provider != "auto":
        return settings.provider == "cuda"
    from fovea.model.sessions import CUDA, ort  # takes a third of a second, for which few have to wait here

    return CUDA in ort.get_available_providers()
