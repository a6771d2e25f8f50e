"""Plans of many keys, each made by a process of its own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.planning import Step, run_step
from tests import programs
from tests.scorer.runs import PATIENCE_S, ROOT, read_rows

MB = 1_000_000

RunStep = Callable[[str, Path, Path, str, int], Step]


def fork_step(step: str, models: Path, output: Path, run: str, keys: int) -> Step:
    """As run_step, in a process whose libraries are loaded already."""
    arguments = [step, str(models), str(output), run, "--keys", str(keys)]
    result = programs.run("scorer", *arguments, module="benchmarks.night", timeout=PATIENCE_S, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return Step(**json.loads(result.stdout))


def nights(keys: int, models: Path, output: Path, run: RunStep) -> tuple[Step, Step]:
    """The plans of two nights over the same keys, of which the first was scored."""
    first = run("plan", models, output, "night-1", keys)
    run("score", models, output, "night-1", keys)
    return first, run("plan", models, output, "night-2", keys)


def test_memory_does_not_grow_with_the_keys_and_many_rows_are_copied_as_they_are(
    tiny_models: Path, output: Path
) -> None:
    few = nights(22_000, tiny_models, output / "few", fork_step)  # shards of two row groups, and a smaller
    many = nights(50_000, tiny_models, output / "many", fork_step)
    for some, more in zip(few, many, strict=True):
        assert more.peak_bytes < some.peak_bytes + 7 * MB
    assert [step.carried for step in (*few, *many)] == [0, 22_000, 0, 50_000]
    assert fork_step("score", tiny_models, output / "few", "night-2", 22_000).carried == 22_000
    assert read_rows(output / "few", "night-2") == read_rows(output / "few", "night-1")


@pytest.mark.slow
def test_a_million_keys_are_planned_within_400_mb(tiny_models: Path, output: Path) -> None:
    first, second = nights(1_000_000, tiny_models, output, run_step)
    assert (first.images, second.carried) == (1_000_000, 1_000_000)
    assert max(first.peak_bytes, second.peak_bytes) < 400 * MB
    # The scorer copies the rows now; there are no images that it could read.
    copied = run_step("score", tiny_models, output, "night-2", 1_000_000)
    assert (copied.images, copied.carried) == (1_000_000, 1_000_000)
