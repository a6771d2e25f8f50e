"""What each core more costs a server of resnet34."""

from pathlib import Path

import pytest

from benchmarks.serving_models import publish_untrained_resnet34
from benchmarks.startup import startup

CORES = 16


@pytest.mark.slow
def test_a_core_more_costs_little_memory_and_no_start_of_its_own(tmp_path: Path) -> None:
    """Weights of its own would be 87 MB or more; starts of their own, on two cores, seven times one."""
    publish_untrained_resnet34(tmp_path / "models", tmp_path / "staging")
    one_s, one_bytes = startup(tmp_path / "models", 1)
    all_s, all_bytes = startup(tmp_path / "models", CORES)
    assert (all_bytes - one_bytes) / (CORES - 1) <= 45e6
    assert all_s <= 4 * one_s
