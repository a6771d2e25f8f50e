"""`run --dry-run`: what it says, and that it leaves nothing."""

import re
from collections import Counter
from pathlib import Path

import pytest
from rich.filesize import decimal

from fovea.errors import Unavailable
from fovea.stores.storage import open_folder
from scorer.estimate.estimate import Estimate, Part, Reservoir, in_time
from scorer.files.manifest import PlannedImage, RowPlace
from scorer.files.rows import Status
from scorer.run import score
from tests import tiny
from tests.scorer.runs import error_line, flags, planned, scorer, settings_for


def files_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_it_says_what_there_is_and_writes_nothing(photos: Path, tiny_models: Path, output: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"bad")
    (photos / "notes.txt").write_bytes(b"")
    result = scorer("run", *flags(photos, tiny_models, output, "--dry-run", "--shard-images", "5"))
    assert result.returncode == 0, result.stderr
    assert f"dry run of {photos} by tiny version 1: nothing is written" in result.stdout
    size_bytes = sum(path.stat().st_size for path in photos.iterdir())
    assert f"to score    13 images, {decimal(size_bytes)}; shards: 3" in result.stdout
    assert "carried     0 images" in result.stdout
    assert "left out    1, not images by --include or first bytes: 1 .txt (notes.txt)" in result.stdout
    assert "sample      13 images tried: ok 12, undecodable 1" in result.stdout
    assert re.search(r"speed +[0-9.,]+ images/s", result.stdout)
    assert "time        about 1 s" in result.stdout
    assert "core hours" in result.stdout
    assert "cost" not in result.stdout
    assert not output.exists()


def test_the_cost_is_the_price_of_the_hours(
    photos: Path, tiny_models: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(settings_for(photos, tiny_models, output, "--dry-run", "--price-per-hour", "36000000"))
    printed = capsys.readouterr().out
    (rate,) = re.findall(r"speed +([0-9.,]+) images/s", printed)
    (cost,) = re.findall(r"cost +about ([0-9.,]+), at 3.6e\+07 an hour of this machine", printed)
    expected = 36_000_000 / 3600 * 12 / float(rate.replace(",", ""))
    assert float(cost.replace(",", "")) == pytest.approx(expected, rel=0.01)


def test_what_is_less_than_a_hundredth_is_told_so(
    photos: Path, tiny_models: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(settings_for(photos, tiny_models, output, "--dry-run", "--price-per-hour", "1.20"))
    printed = capsys.readouterr().out
    assert "machine     less than 0.01 core hours, on the " in printed
    assert "cost        less than 0.01, at 1.2 an hour of this machine" in printed


def test_nothing_to_score_takes_no_time(
    tiny_models: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    score(settings_for(tmp_path / "empty", tiny_models, output, "--dry-run"))
    printed = capsys.readouterr().out
    assert "to score    0 images" in printed
    assert "time        none: there is nothing to score" in printed
    assert not output.exists()


def test_of_an_interrupted_run_only_the_missing_shards_count(
    photos: Path, tiny_models: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(settings_for(photos, tiny_models, output, "--shard-images", "5"))
    (output / "runs/night-1/_SUCCESS").unlink()
    (output / "runs/night-1/data/shard-00002.parquet").unlink()
    before = files_below(output)
    capsys.readouterr()
    score(settings_for(photos, tiny_models, output, "--dry-run"))
    assert "to score    2 images, " in capsys.readouterr().out
    assert files_below(output) == before


def test_a_finished_run_has_nothing_left_to_score(
    photos: Path, tiny_models: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(settings_for(photos, tiny_models, output))
    score(settings_for(photos, tiny_models, output, "--dry-run"))
    assert "to score    0 images, 0 bytes; shards: 0" in capsys.readouterr().out


def test_what_would_be_carried_forward_is_told_and_not_tried(
    photos: Path, tiny_models: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(settings_for(photos, tiny_models, output))
    (photos / "new.png").write_bytes(tiny.picture("red"))
    before = files_below(output)
    capsys.readouterr()
    score(settings_for(photos, tiny_models, output, "--dry-run", run="night-2"))
    printed = capsys.readouterr().out
    assert "to score    1 images, " in printed
    assert "carried     12 images, copied from run night-1" in printed
    assert "sample      1 images tried: ok 1" in printed
    assert files_below(output) == before


def test_a_source_that_cannot_be_read_is_found_before_the_night(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    planned(settings_for(photos, tiny_models, output))
    for image in list(photos.iterdir()):
        image.unlink()
        image.symlink_to(image)
    with pytest.raises(Unavailable, match="12 reads in a row failed"):
        score(settings_for(photos, tiny_models, output, "--dry-run"))


def test_many_images_are_timed_in_parts_which_tell_the_spread(
    tiny_models: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    image = tiny.picture("red", kind="JPEG")
    for number in range(1200):
        (folder / f"{number:04}.jpg").write_bytes(image)
    score(settings_for(folder, tiny_models, output, "--dry-run"))
    printed = capsys.readouterr().out
    assert re.search(r"speed +[0-9.,]+ \([0-9.,]+ to [0-9.,]+\) images/s", printed)
    assert "too few images" not in printed
    assert not output.exists()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--price-per-hour", "2"], "--price-per-hour is for --dry-run"),
        (["--dry-run", "--price-per-hour", "-1"], "--price-per-hour (or FOVEA_SCORE_PRICE_PER_HOUR)"),
    ],
)
def test_a_wrong_price_is_one_line(
    wrong: list[str], says: str, photos: Path, tiny_models: Path, output: Path
) -> None:
    result = scorer("run", *flags(photos, tiny_models, output, *wrong))
    assert result.returncode == 2
    assert says in error_line(result)


def test_the_time_spans_what_the_slowest_and_the_fastest_part_make_of_it() -> None:
    part, both = Counter[Status]({"ok": 100}), Counter[Status]({"ok": 200})
    estimate = Estimate(300, [Part(100, 10, part), Part(100, 20, part)], both)
    assert estimate.images_per_s.mean == pytest.approx(200 / 30)
    assert (estimate.seconds.least, estimate.seconds.mean, estimate.seconds.most) == pytest.approx(
        (30, 45, 60)
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.6, "1 min 0 s"), (250, "4 min 10 s"), (3599.6, "1 h 0 min"), (12_000, "3 h 20 min")],
)
def test_a_time_is_shown_in_two_units_at_most(seconds: float, text: str) -> None:
    assert in_time(seconds) == text


def test_a_sample_is_spread_over_the_listing_and_always_the_same(photos: Path) -> None:
    (entry, *_) = open_folder(str(photos)).entries()
    listing = [PlannedImage(entry, RowPlace("data", 0) if index % 2 else None) for index in range(2000)]
    first, second = Reservoir(100), Reservoir(100)
    places = []
    for sample in (first, second):
        sample.add(listing)
        chosen = sample.images_at_random()
        places.append([next(i for i, image in enumerate(listing) if image is one) for one in chosen])
    assert (first.images, first.carried, first.size_bytes) == (1000, 1000, 1000 * entry.size)
    assert places[0] == places[1]
    assert all(place % 2 == 0 for place in places[0])
    by_quarter = Counter(place // 500 for place in places[0])
    assert all(10 < by_quarter[quarter] < 40 for quarter in range(4))
