"""What no server can exceed: the session alone, at its best batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.gpu.rates import rate
from benchmarks.gpu.sizes import Device
from fovea.model.bundle import ModelBundle, Precision
from fovea.model.io_binding import IoBinding
from fovea.model.sessions import SessionOptions, open_session, ort


@dataclass(frozen=True)
class SessionRate:
    """Images/s of a session alone at one batch size."""

    batch: int
    bound: float
    """with IO binding, as the programs use it on a GPU"""
    plain: float
    """with `run`, which copies both ways"""


def session_rates(
    bundle: ModelBundle, precision: Precision, provider: Device, batches: Sequence[int], seconds: float
) -> list[SessionRate]:
    """The pixels are random: what is computed does not depend on them."""
    session = open_session(bundle.file_of(precision), provider, SessionOptions())
    return [_session_rate(session, bundle, provider, batch, seconds) for batch in batches]


def _session_rate(
    session: ort.InferenceSession, bundle: ModelBundle, provider: Device, batch: int, seconds: float
) -> SessionRate:
    side, outputs = bundle.contract.preprocess.size, bundle.contract.output_values
    pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
    binding = IoBinding(session, side, outputs, (batch,), provider)
    return SessionRate(
        batch,
        rate(lambda: len(binding.run(pixels, ["probabilities"])[0]), seconds),
        rate(lambda: len(session.run(["probabilities"], {"pixels": pixels})[0]), seconds),
    )
