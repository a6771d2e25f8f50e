"""What crosses to a compute process, and back from it, before the first batch."""

import math
from dataclasses import replace

import pytest

from fovea.errors import BundleInvalid, ExtraMissing, FoveaError, Unavailable
from server.compute.start_up import ProcessReady, ProcessRefusal, ProcessSettings, to_json
from server.compute.warm_up import WarmUp

SETTINGS = ProcessSettings(
    bundle="/models/pets/3",
    digest="0a1b",
    precision="auto",
    model_cache="",
    wide_threads=2,
    max_batch_size=16,
    target_batch_s=math.inf,
    max_bytes=1_000_000,
    max_pixels=2_000_000,
    log_level="info",
    log_format="json",
)


def test_settings_cross_as_they_were() -> None:
    assert ProcessSettings.from_json(to_json(SETTINGS)) == SETTINGS


def test_readiness_crosses_as_it_was() -> None:
    ready = ProcessReady("int8", WarmUp(0.01, ((1, 0.02), (2, 0.03))), run_images=4)
    assert ProcessReady.from_json(to_json(ready)) == ready


def test_other_processes_take_the_first_ones_word_for_what_it_chose_and_measured() -> None:
    told = SETTINGS.measured(ProcessReady("int8", WarmUp(0.01, ()), run_images=4))
    assert told == replace(SETTINGS, precision="int8", run_images=4)


@pytest.mark.parametrize(
    ("error", "raised", "reason"),
    [
        (BundleInvalid("it carries no contract"), BundleInvalid, "it carries no contract"),
        (Unavailable("another model is here"), Unavailable, "another model is here"),
        (ExtraMissing("onnxruntime is missing"), Unavailable, "onnxruntime is missing"),
        (MemoryError(), Unavailable, "there is not enough memory for the model"),
        (RuntimeError("bad node"), BundleInvalid, "RuntimeError: bad node"),
    ],
)
def test_a_refusal_is_raised_as_what_it_was(error: Exception, raised: type[FoveaError], reason: str) -> None:
    crossed = ProcessRefusal.from_json(to_json(ProcessRefusal.of(error))).error()
    assert (type(crossed), str(crossed)) == (raised, reason)
