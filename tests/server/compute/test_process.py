"""What the first compute process does for all, and what another one need not do again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import BundleInvalid, Unavailable
from fovea.model.classifier import Classifier
from server.compute import process
from server.compute.process import _set_up
from server.compute.start_up import ProcessSettings
from server.compute.warm_up import WarmUp
from tests import tiny
from tests.server.compute.test_process_worker import settings


@pytest.fixture
def first(tmp_path: Path) -> ProcessSettings:
    """Of the process that measures and writes; its bundle is the test's own."""
    bundle = tiny.stage_bundle(tmp_path / "bundle")
    (tmp_path / "shared").mkdir()
    own = settings(bundle.path)
    return replace(own, shared_weights=str(tmp_path / "shared"), target_batch_s=60.0)


def another(first: ProcessSettings) -> ProcessSettings:
    """Of one that is told that two images at a time are fast."""
    return replace(first, run_images=2, wide_threads=1)


def test_the_first_measures_and_checks_all_golden_images_and_others_as_many_as_they_run(
    first: ProcessSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[tuple[int | None, bool]] = []

    class Watched(Classifier):
        def __init__(self, *given: Any, **options: Any) -> None:
            checked.append((options["golden_images"], options["shared"] is not None))
            assert options["options"].shares_arena
            super().__init__(*given, **options)

    monkeypatch.setattr(process, "Classifier", Watched)
    backend, ready = _set_up(first)
    assert checked == [(None, True), (1, True)]  # the second session is that of all cores
    assert ready.warm_up.least_s > 0
    assert [images for images, _ in ready.warm_up.batches] == [1, 2, 4]
    assert backend.run_images == ready.run_images
    checked.clear()
    backend, ready = _set_up(another(first))
    assert checked == [(2, True)]
    assert ready.warm_up == WarmUp(0.0, ())
    assert backend.run_images == ready.run_images == 2


def test_what_only_the_first_runs_only_the_first_verifies(first: ProcessSettings) -> None:
    model = Path(first.bundle, "model.onnx")
    released = model.read_bytes()
    model.write_bytes(b"damaged")
    with pytest.raises(BundleInvalid, match="changed since it was released"):
        _set_up(first)
    model.write_bytes(released)
    _set_up(first)
    model.write_bytes(b"damaged")
    _set_up(another(first))
    with pytest.raises(BundleInvalid, match="changed since it was released"):
        _set_up(replace(another(first), shared_weights=""))


def test_no_process_opens_another_model_than_the_one_that_is_served(first: ProcessSettings) -> None:
    _set_up(first)
    for told in (first, another(first)):
        with pytest.raises(Unavailable, match="another model is here than the one that is served"):
            _set_up(replace(told, digest="0a1b"))
