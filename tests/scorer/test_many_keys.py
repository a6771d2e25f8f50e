"""Plans of many keys, each made by a process of its own."""

from pathlib import Path

import pytest

from benchmarks.planning import Step, run_step
from tests.scorer.runs import read_rows

MB = 1_000_000


def nights(keys: int, models: Path, output: Path) -> tuple[Step, Step]:
    """The plans of two nights over the same keys, of which the first was scored."""
    first = run_step("plan", models, output, "night-1", keys)
    run_step("score", models, output, "night-1", keys)
    return first, run_step("plan", models, output, "night-2", keys)


def test_memory_does_not_grow_with_the_keys_and_many_rows_are_copied_as_they_are(
    tiny_models: Path, output: Path
) -> None:
    few = nights(22_000, tiny_models, output / "few")  # shards of two row groups, and a smaller one
    many = nights(80_000, tiny_models, output / "many")
    for some, more in zip(few, many, strict=True):
        assert more.peak_bytes < some.peak_bytes + 15 * MB
    assert [step.carried for step in (*few, *many)] == [0, 22_000, 0, 80_000]
    assert run_step("score", tiny_models, output / "few", "night-2", 22_000).carried == 22_000
    assert read_rows(output / "few", "night-2") == read_rows(output / "few", "night-1")


@pytest.mark.slow
def test_a_million_keys_are_planned_within_400_mb(tiny_models: Path, output: Path) -> None:
    first, second = nights(1_000_000, tiny_models, output)
    assert (first.images, second.carried) == (1_000_000, 1_000_000)
    assert max(first.peak_bytes, second.peak_bytes) < 400 * MB
    # The scorer copies the rows now; there are no images that it could read.
    copied = run_step("score", tiny_models, output, "night-2", 1_000_000)
    assert (copied.images, copied.carried) == (1_000_000, 1_000_000)
