"""Running a model before callers do, so that none of them pays for a first time; and what it then takes."""

import math
from functools import partial

from fovea.images.preprocess import decode_image
from fovea.model.bundle import ModelBundle
from server.compute.compute import CpuCompute, GpuCompute, Picture


def warm_up(
    compute: CpuCompute | GpuCompute,
    bundle: ModelBundle,
    max_batch_size: int,
    target_batch_s: float = math.inf,
) -> tuple[float, list[tuple[int, float]]]:
    """Runs 1, 2, 4, ... golden images twice, decoding included: the first run is not like the others.

    Sizes whose batches would take more than twice `target_batch_s` are left out. Returns the seconds of an
    image that has the machine for itself, and (images, seconds) of each size.
    """
    _seconds(compute, bundle, 1, is_alone=True)
    alone = _seconds(compute, bundle, 1, is_alone=True)
    costs: list[tuple[int, float]] = []
    for size in batch_sizes(max_batch_size):
        if costs and size > 2 and size * costs[-1][1] / costs[-1][0] > 2 * target_batch_s:
            break
        _seconds(compute, bundle, size, is_alone=False)
        costs.append((size, _seconds(compute, bundle, size, is_alone=False)))
    return alone, costs


def batch_sizes(largest: int) -> list[int]:
    """1, 2, 4, ... and the largest itself."""
    return sorted({min(2**power, largest) for power in range(largest.bit_length() + 1)})


def _seconds(compute: CpuCompute | GpuCompute, bundle: ModelBundle, images: int, *, is_alone: bool) -> float:
    files, spec = bundle.golden().files, bundle.contract.preprocess
    pictures = [Picture(partial(decode_image, files[i % len(files)], spec)) for i in range(images)]
    return compute(pictures, is_alone).seconds
