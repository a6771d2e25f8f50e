"""What a process that works on a shard takes of the memory, as shards become large."""

import os
import time
from pathlib import Path

import pytest

from tests import tiny
from tests.scorer.runs import flags, planned, settings_for, started_scorer

LINKS = 10_000
"""Of one file; file systems bound them."""
MARGIN_BYTES = 8_000_000
"""Python's and Arrow's allocators differ by some megabytes from run to run."""


@pytest.mark.parametrize("images", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_shard_ten_times_as_large_takes_no_more_memory(
    images: int, tiny_models: Path, tmp_path: Path
) -> None:
    small = peak_bytes(tiny_models, tmp_path / "small", images)
    large = peak_bytes(tiny_models, tmp_path / "large", 10 * images)
    assert large < small + MARGIN_BYTES


def peak_bytes(models: Path, folder: Path, images: int) -> int:
    """The most anonymous memory that `work` was seen with, on one shard of so many images."""
    photos, output = folder / "photos", folder / "output"
    fill_with_links(photos, images)
    one_shard = ("--shard-images", "1000000")
    planned(settings_for(photos, models, output, *one_shard))
    places = flags(photos, models, output, *one_shard)[3:]
    peak = 0
    arguments = places[: places.index("--shard-images")]
    with started_scorer("work", *arguments) as process:
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(0.01)
        assert process.returncode == 0, process.communicate()[1]
    return peak


def fill_with_links(folder: Path, images: int) -> None:
    folder.mkdir(parents=True)
    for number in range(images):
        name = folder / f"{number:06}.png"
        if number % LINKS == 0:
            name.write_bytes(tiny.picture("red"))
            first = name
        else:
            os.link(first, name)


def anonymous_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon")), 0)
