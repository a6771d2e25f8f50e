"""A second night: the rows of what did not change are copied, and everything else is scored."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import Unavailable
from fovea.images import formats
from fovea.stores.storage import open_folder
from scorer.files.manifest import read_manifest
from scorer.files.plan import Plan
from scorer.run import score
from tests import tiny
from tests.buckets import Bucket
from tests.scorer.runs import Place, planned, read_rows, settings_for

OF_FIVE = ("--shard-images", "5")
OF_SEVEN = ("--shard-images", "7")


def night(number: int, source: Place, models: Place, output: Place, *more: str) -> Plan:
    """Scores a whole run and returns its plan."""
    options = settings_for(source, models, output, *more, run=f"night-{number}")
    score(options)
    return planned(options)


def made_by(output: Path, run: str) -> dict[str, str]:
    """Key -> the run that scored it."""
    return {row["key"]: row["run"] for row in read_rows(output, run)}


def as_scored(output: Path, run: str) -> list[dict[str, Any]]:
    """The rows without what tells when and by which run they were made."""
    hidden = {"run", "scored_at"}
    return [{name: row[name] for name in row if name not in hidden} for row in read_rows(output, run)]


def messages(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


def test_a_second_night_copies_every_row_and_reads_no_image(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    (photos / "bad.jpg").write_bytes(b"bad")
    night(1, photos, tiny_models, output, *OF_FIVE)
    options = settings_for(photos, tiny_models, output, *OF_SEVEN, run="night-2")
    plan = planned(options)
    assert (plan.previous, plan.carried, plan.images) == ("night-1", 13, 13)
    planned_images = list(read_manifest(open_folder(str(output)), plan.shards[0].manifest))
    files = list(dict.fromkeys(image.carried.path for image in planned_images if image.carried))
    assert files == [f"runs/night-1/data/shard-0000{i}.parquet" for i in (0, 1)]
    for image in photos.iterdir():
        image.unlink()  # from here on, whoever reads one finds it gone
    score(options)
    assert read_rows(output, "night-2") == read_rows(output, "night-1")


def test_a_second_night_over_a_bucket_reads_no_image(
    bucket: Bucket, photos: Path, tiny_models: Path, output: Path
) -> None:
    bucket.put_folder("images", photos)
    source = f"{bucket.uri}/images"
    night(1, source, tiny_models, output, *OF_FIVE)
    options = settings_for(source, tiny_models, output, run="night-2")
    assert planned(options).carried == 12
    for key in bucket.listing("images/"):
        bucket.delete(key)
    score(options)
    assert read_rows(output, "night-2") == read_rows(output, "night-1")


def test_images_without_an_ending_are_carried_and_what_other_globs_took_is_looked_into(
    bucket: Bucket, photos: Path, tiny_models: Path, output: Path
) -> None:
    bucket.put_folder("images", photos)
    bucket.put("images/IMG_0001", tiny.picture("red"))
    bucket.put("images/LICENSE", b"Do as you like.")
    source = f"{bucket.uri}/images"
    assert night(1, source, tiny_models, output, "--include", "*").images == 14
    second = night(2, source, tiny_models, output)
    assert (second.images, second.carried, second.left_out) == (13, 13, 1)
    third = night(3, source, tiny_models, output)
    assert (third.images, third.carried, third.left_out) == (13, 13, 1)
    assert made_by(output, "night-3")["IMG_0001"] == "night-1"


def test_new_changed_and_vanished_images_are_what_a_full_run_says(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    night(1, photos, tiny_models, output, *OF_FIVE)
    (photos / "000.png").write_bytes(tiny.picture("blue", (99, 99)))
    (photos / "001.jpeg").unlink()
    (photos / "005a.png").write_bytes(tiny.picture("green"))
    (photos / "zzz.png").write_bytes(b"bad")
    plan = night(2, photos, tiny_models, output, "--batch-size", "2", *OF_SEVEN)
    assert (plan.images, plan.carried) == (13, 10)
    scored = {key for key, run in made_by(output, "night-2").items() if run == "night-2"}
    assert scored == {"000.png", "005a.png", "zzz.png"}
    night(3, photos, tiny_models, output, "--full")
    assert set(made_by(output, "night-3").values()) == {"night-3"}
    assert as_scored(output, "night-2") == as_scored(output, "night-3")


def test_a_third_night_carries_what_the_second_one_carried(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    for number in (1, 2, 3):
        plan = night(number, photos, tiny_models, output)
    assert plan.previous == "night-2"
    assert read_rows(output, "night-3") == read_rows(output, "night-1")


def test_what_could_not_be_read_is_tried_again(photos: Path, tiny_models: Path, output: Path) -> None:
    first = settings_for(photos, tiny_models, output, run="night-1")
    (photos / "bad.jpg").write_bytes(b"bad")
    planned(first)
    changed, gone, unreadable = (photos / name for name in ("000.png", "001.jpeg", "002.webp"))
    aside = {path: path.rename(photos.parent / path.name) for path in (changed, gone, unreadable)}
    changed.write_bytes(b"another")
    unreadable.symlink_to(unreadable)
    score(first)
    statuses = {row["key"]: row["status"] for row in read_rows(output)}
    assert [statuses[path.name] for path in aside] == ["changed", "gone", "unreadable"]
    for path, backup in aside.items():
        backup.replace(path)
    night(2, photos, tiny_models, output)
    assert {key for key, run in made_by(output, "night-2").items() if run == "night-2"} == {
        path.name for path in aside
    }
    assert {row["status"] for row in read_rows(output, "night-2")} == {"ok", "undecodable"}


def test_more_generous_limits_try_again_what_was_refused(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    (photos / "bad.jpg").write_bytes(b"bad")
    (photos / "wide.png").write_bytes(tiny.picture("red", (120, 120)))
    night(1, photos, tiny_models, output, "--max-image-pixels", "9000")
    night(2, photos, tiny_models, output, "--max-image-pixels", "90000")
    scored = {key for key, run in made_by(output, "night-2").items() if run == "night-2"}
    assert scored == {"bad.jpg", "wide.png"}


def test_stricter_limits_score_again_what_may_be_too_large_now(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    night(1, photos, tiny_models, output)
    assert (
        night(2, photos, tiny_models, output, "--max-image-pixels", "1500", "--max-bad-fraction", "1").carried
        == 0
    )
    night(3, photos, tiny_models, output)
    sizes = sorted(path.stat().st_size for path in photos.iterdir())
    plan = night(4, photos, tiny_models, output, "--max-image-bytes", str(sizes[8]))
    assert plan.carried == 9
    assert [row["status"] for row in read_rows(output, "night-4")].count("too_large") == 3


def test_another_model_carries_nothing_and_says_so(
    photos: Path, output: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = tmp_path / "models" / "tiny"
    tiny.publish_bundle(models, tmp_path / "one")
    night(1, photos, models, output)
    tiny.publish_bundle(models, tmp_path / "two", gain=4.0)
    caplog.set_level("INFO")
    assert night(2, photos, models, output).previous is None
    assert "nothing is carried forward: run night-1 has another model digest" in messages(caplog)
    assert set(made_by(output, "night-2").values()) == {"night-2"}


def test_other_decoders_carry_nothing_and_say_so(
    photos: Path,
    output: Path,
    tiny_models: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A row is what its image decoded to: with another version of a library it may be another row."""
    night(1, photos, tiny_models, output)
    newer = {**formats.image_path(), "libheif": "2.0"}
    monkeypatch.setattr(formats, "image_path", lambda: newer)
    caplog.set_level("INFO")
    assert night(2, photos, tiny_models, output).carried == 0
    assert "nothing is carried forward: run night-1 has another image path" in messages(caplog)
    assert night(3, photos, tiny_models, output).carried == 12


@pytest.mark.parametrize(
    ("more", "why"),
    [(["--top-k", "2"], "run night-1 has another top k"), (["--full"], "--full scores every image")],
)
def test_why_nothing_is_carried_is_said_in_one_line(
    more: list[str], why: str, photos: Path, tiny_models: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    night(1, photos, tiny_models, output)
    caplog.set_level("INFO")
    caplog.clear()
    assert night(2, photos, tiny_models, output, *more).carried == 0
    lines = [line for line in messages(caplog).splitlines() if "nothing is carried" in line]
    assert lines == [f"nothing is carried forward: {why}"]


def test_an_unfinished_run_is_not_carried_forward(photos: Path, tiny_models: Path, output: Path) -> None:
    night(1, photos, tiny_models, output)
    (output / "runs" / "night-1" / "_SUCCESS").unlink()
    assert night(2, photos, tiny_models, output).carried == 0


def test_rows_that_vanish_before_the_plan_are_scored_again(
    photos: Path, tiny_models: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    night(1, photos, tiny_models, output, *OF_FIVE)
    data = output / "runs" / "night-1" / "data"
    (data / "shard-00001.parquet").unlink()
    (data / "shard-00002.parquet").write_bytes(b"PAR1 damaged")
    assert night(2, photos, tiny_models, output, *OF_FIVE).carried == 5
    assert len(read_rows(output, "night-2")) == 12
    warnings = messages(caplog)
    assert "shard-00001.parquet: no such file" in warnings
    assert "shard-00002.parquet: not a shard's file" in warnings


def test_rows_that_vanish_after_the_plan_are_scored_again(
    photos: Path, tiny_models: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("005.jpeg", "010.webp"):  # the first rows of two shards have the same etag
        (photos / name).write_bytes(tiny.picture("red"))
        os.utime(photos / name, ns=(10**18, 10**18))
    night(1, photos, tiny_models, output, *OF_FIVE)
    options = settings_for(photos, tiny_models, output, run="night-2")
    assert planned(options).carried == 12
    data = output / "runs" / "night-1" / "data"
    (data / "shard-00000.parquet").unlink()
    (data / "shard-00002.parquet").write_bytes((data / "shard-00001.parquet").read_bytes())
    score(options)
    assert [run for _, run in sorted(made_by(output, "night-2").items())] == [
        *["night-2"] * 5,
        *["night-1"] * 5,
        *["night-2"] * 2,
    ]
    assert "their images are scored again: 7" in messages(caplog)
    night(3, photos, tiny_models, output, "--full")
    assert as_scored(output, "night-2") == as_scored(output, "night-3")


def test_the_only_image_that_is_read_may_be_unreadable(photos: Path, tiny_models: Path, output: Path) -> None:
    night(1, photos, tiny_models, output)
    (photos / "new.png").write_bytes(tiny.picture("red"))
    options = settings_for(photos, tiny_models, output, run="night-2")
    planned(options)
    make_unreadable(photos / "new.png")
    score(options)
    assert [row["status"] for row in read_rows(output, "night-2")] == ["ok"] * 12 + ["unreadable"]


def test_a_store_that_is_gone_is_not_taken_for_one_unreadable_image(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    night(1, photos, tiny_models, output)
    (photos / "new.png").write_bytes(tiny.picture("red"))
    options = settings_for(photos, tiny_models, output, run="night-2")
    assert planned(options).carried == 12
    for image in list(photos.iterdir()):
        make_unreadable(image)
    make_unlistable(photos)
    with pytest.raises(Unavailable):
        score(options)
    assert not (output / "runs" / "night-2").exists()


def make_unreadable(image: Path) -> None:
    image.unlink()
    image.symlink_to(image)


def make_unlistable(folder: Path) -> None:
    """By folders in it whose path is too long for the system, which also stops the superuser."""
    name, above = "d" * 250, os.open(folder, os.O_RDONLY)
    for _ in range(20):
        os.mkdir(name, dir_fd=above)
        below = os.open(name, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)


def test_names_that_are_shown_alike_keep_their_own_rows(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    raw, literal = Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9.png")), photos / "caf\\xe9.png"
    for path, colour in ((raw, "green"), (literal, "blue")):
        path.write_bytes(tiny.picture(colour, kind="BMP"))
        os.utime(path, ns=(10**18, 10**18))  # now size, time and shown name are the same for both
    (photos / "cag.png").write_bytes(tiny.picture("red"))
    night(1, photos, tiny_models, output)
    assert night(2, photos, tiny_models, output).carried == 15
    rows = read_rows(output, "night-2")
    assert rows == read_rows(output, "night-1")
    assert [row["label"] for row in rows if row["key"] == "caf\\xe9.png"] == ["blue", "green"]


def test_the_summary_counts_carried_rows_but_not_as_speed(
    photos: Path, tiny_models: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night(1, photos, tiny_models, output)
    (photos / "new.png").write_bytes(tiny.picture("red"))
    night(2, photos, tiny_models, output)
    summary = json.loads((output / "runs" / "night-2" / "summary.json").read_bytes())
    assert (summary["images"], summary["carried"], summary["statuses"]) == (13, 12, {"ok": 13})
    assert summary["images_per_s"] == pytest.approx(1 / summary["seconds"], rel=0.1)
    assert "carried     12 from run night-1" in capsys.readouterr().out


def test_a_manifest_says_where_each_carried_row_is(photos: Path, tiny_models: Path, output: Path) -> None:
    night(1, photos, tiny_models, output, *OF_FIVE)
    (photos / "000.png").unlink()
    plan = planned(settings_for(photos, tiny_models, output, run="night-2"))
    images = list(read_manifest(open_folder(str(output)), plan.shards[0].manifest))
    assert [image.carried.row for image in images if image.carried] == [1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
