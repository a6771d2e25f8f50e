"""A whole run in this process, over a local folder."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fovea.errors import DataInvalid, SettingsInvalid, Unavailable
from fovea.images.preprocess import decode_image
from fovea.model import versions
from fovea.model.bundle import file_digest, seal
from fovea.model.classifier import Classifier, top_k
from fovea.truth.sets import PredictionSets, draws, label_sets
from scorer.files.rows import SCHEMA
from scorer.run import score
from scorer.scoring.shard import load_classifier
from tests import tiny
from tests.scorer.runs import planned, read_rows, settings_for, statuses


def test_every_image_gets_its_label(photos: Path, tiny_models: Path, output: Path) -> None:
    expected = tiny.fill_folder(photos, 12)
    score(settings_for(photos, tiny_models, output, "--batch-size", "5"))
    assert {row["key"]: row["label"] for row in read_rows(output)} == expected


def test_probabilities_are_those_of_the_classifier(
    photos: Path, tiny_models: Path, tiny_classifier: Classifier, output: Path
) -> None:
    score(settings_for(photos, tiny_models, output, "--top-k", "2"))
    rows = read_rows(output)
    crops = [decode_image((photos / row["key"]).read_bytes(), tiny.SPEC) for row in rows]
    best, confidence = top_k(tiny_classifier.classify(np.stack(crops)), 2)
    assert [row["top_labels"] for row in rows] == [[tiny.LABELS[i] for i in row] for row in best.tolist()]
    assert [row["top_probabilities"] for row in rows] == confidence.tolist()
    assert [row["probability"] for row in rows] == confidence[:, 0].tolist()


def test_rows_have_label_sets_where_they_are_asked_for(
    photos: Path, tiny_models: Path, tmp_path: Path, tiny_classifier: Classifier, output: Path
) -> None:
    """As the report and the server make them; rows without one are not taken for rows with one."""
    for shade in range(8):
        (photos / f"grey-{shade}.png").write_bytes(tiny.picture((100 + shade, 110, 104)))
    (photos / "bad.png").write_bytes(b"no image")
    sets = PredictionSets(coverage=0.6, quantile=0.6, images=40)
    bundle = tiny.stage_bundle(tmp_path / "staged")
    versions.publish(
        seal(bundle.path, bundle.contract.model_copy(update={"prediction_sets": sets})),
        str(tmp_path / "models"),
    )
    score(settings_for(photos, tmp_path / "models", output))
    assert "label_set" not in read_rows(output)[0]
    for run, carried in (("night-2", 0), ("night-3", 21)):
        score(settings_for(photos, tmp_path / "models", output, "--label-sets", run=run))
        assert json.loads((output / "runs" / run / "summary.json").read_text())["carried"] == carried
        *good, bad = sorted(read_rows(output, run), key=lambda row: row["status"] != "ok")
        crops = np.stack([decode_image((photos / row["key"]).read_bytes(), tiny.SPEC) for row in good])
        places = label_sets(tiny_classifier.classify(crops), draws(crops), 0.6)
        assert [row["label_set"] for row in good] == [[tiny.LABELS[i] for i in one] for one in places]
        assert {len(one) for one in places} >= {0, 1, 2}
        assert bad["label_set"] is None
    tiny.publish_bundle(tmp_path / "old" / "tiny", tmp_path / "old-staged")
    with pytest.raises(SettingsInvalid, match="--label-sets: tiny version 1 was released without prediction"):
        score(settings_for(photos, tmp_path / "old" / "tiny", output, "--label-sets", run="night-4"))


def test_rows_have_distances_and_embeddings_where_they_are_asked_for(
    photos: Path, tmp_path: Path, output: Path
) -> None:
    """To the bit what the classifier and the bundle's references give, also of rows that are carried."""
    (photos / "grey.png").write_bytes(tiny.picture((120, 120, 120)))
    (photos / "bad.png").write_bytes(b"no image")
    bundle = tiny.publish_bundle(tmp_path / "models" / "tiny", tmp_path / "staged", embeds=True)
    asked = ["--distances", "--embeddings", "--batch-size", "5"]
    for run, carried in (("night-1", 0), ("night-2", 14)):
        score(settings_for(photos, tmp_path / "models" / "tiny", output, *asked, run=run))
        summary = json.loads((output / "runs" / run / "summary.json").read_text())
        assert (summary["carried"], summary["unknown"]) == (carried, 1)
        *good, bad = sorted(read_rows(output, run), key=lambda row: row["status"] != "ok")
        crops = np.stack([decode_image((photos / row["key"]).read_bytes(), tiny.SPEC) for row in good])
        _, embeddings = Classifier(bundle, "cpu", 1).classify_with_embeddings(crops)
        known_classes = bundle.known_classes()
        assert known_classes
        assert [row["embedding"] for row in good] == embeddings.tolist()
        assert [row["distance"] for row in good] == known_classes.distances(embeddings).tolist()
        assert [row["key"] for row in good if row["unknown"]] == ["grey.png"]
        assert (bad["embedding"], bad["distance"], bad["unknown"]) == (None, None, None)
    score(settings_for(photos, tmp_path / "models" / "tiny", output, "--distances", run="night-3"))
    rows = read_rows(output, "night-3")
    assert {row["run"] for row in rows} == {"night-3"}  # those of other columns are not carried
    assert "embedding" not in rows[0]
    tiny.publish_bundle(tmp_path / "old" / "tiny", tmp_path / "old-staged")
    for option in ("--distances", "--embeddings"):
        with pytest.raises(SettingsInvalid, match=f"{option}: tiny version 1 was released before there were"):
            score(settings_for(photos, tmp_path / "old" / "tiny", output, option, run="night-4"))


def test_a_row_says_what_made_it(photos: Path, tiny_models: Path, output: Path) -> None:
    score(settings_for(photos, tiny_models, output))
    row = read_rows(output)[0]
    assert (row["run"], row["model_name"], row["model_version"]) == ("night-1", "tiny", 1)
    assert row["model_digest"] == file_digest(tiny_models / "1" / "model.onnx")
    assert row["preprocess_digest"] == tiny.SPEC.digest
    assert row["size"] == (photos / "000.png").stat().st_size
    assert abs((datetime.now(UTC) - row["scored_at"]).total_seconds()) < 60


def test_an_unsure_answer_is_marked_as_abstained(photos: Path, tiny_models: Path, output: Path) -> None:
    (photos / "grey.png").write_bytes(tiny.picture((120, 120, 120)))
    score(settings_for(photos, tiny_models, output))
    assert [row["key"] for row in read_rows(output) if row["abstained"]] == ["grey.png"]


def test_every_bad_file_gets_a_row_that_says_why(photos: Path, tiny_models: Path, output: Path) -> None:
    jpeg = (photos / "001.jpeg").read_bytes()
    bad = {"cut.jpg": jpeg[: len(jpeg) // 2], "text.jpg": b"not an image", "zero.png": b""}
    for name, data in {
        **bad,
        "wide.jpg": tiny.picture("red", (120, 120), "JPEG"),
        "fat.bmp": b"x" * 20_000,
    }.items():
        (photos / name).write_bytes(data)
    score(
        settings_for(photos, tiny_models, output, "--max-image-pixels", "9000", "--max-image-bytes", "15000")
    )
    rows = {row["key"]: row for row in read_rows(output)}
    assert len(rows) == 17
    assert {rows[name]["status"] for name in bad} == {"undecodable"}
    assert {rows[name]["status"] for name in ("wide.jpg", "fat.bmp")} == {"too_large"}
    assert rows["wide.jpg"]["error"] == "the image has 120 x 120 pixels, more than 9000"
    assert rows["fat.bmp"]["error"] == "the image has 20000 bytes, more than 15000"
    assert (
        rows["text.jpg"]["label"] is rows["text.jpg"]["top_labels"] is rows["text.jpg"]["abstained"] is None
    )


def test_images_replaced_or_deleted_after_the_plan_are_told_apart(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    settings = settings_for(photos, tiny_models, output)
    planned(settings)
    (photos / "000.png").write_bytes(tiny.picture("blue", (99, 99)))
    (photos / "001.jpeg").unlink()
    score(settings)
    by_key = statuses(output)
    assert (by_key["000.png"], by_key["001.jpeg"]) == ("changed", "gone")
    assert list(by_key.values()).count("ok") == 10


def test_an_image_that_cannot_be_read_is_a_row_and_not_the_end(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    settings = settings_for(photos, tiny_models, output)
    planned(settings)
    loop = photos / "000.png"
    loop.unlink()
    loop.symlink_to(loop)
    score(settings)
    assert statuses(output)["000.png"] == "unreadable"
    assert "symbolic links" in read_rows(output)[0]["error"]


def test_a_source_of_which_nothing_can_be_read_is_unavailable(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    settings = settings_for(photos, tiny_models, output)
    planned(settings)
    for image in list(photos.iterdir()):
        image.unlink()
        image.symlink_to(image)
    with pytest.raises(Unavailable, match="12 reads in a row failed"):
        score(settings)
    assert not (output / "runs").exists()


def test_a_source_that_vanished_since_the_plan_makes_no_rows(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    settings = settings_for(photos, tiny_models, output)
    planned(settings)
    photos.rename(photos.with_name("elsewhere"))
    with pytest.raises(DataInvalid, match="there is no such folder"):
        score(settings)
    assert not (output / "runs").exists()


def test_a_file_name_that_is_not_utf8_is_scored_and_shown_readably(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9.png")).write_bytes(tiny.picture("green"))
    score(settings_for(photos, tiny_models, output))
    assert {row["key"]: row["label"] for row in read_rows(output)}["caf\\xe9.png"] == "green"


def test_shards_are_files_of_one_schema_sorted_by_key(photos: Path, tiny_models: Path, output: Path) -> None:
    score(settings_for(photos, tiny_models, output, "--shard-images", "5"))
    files = sorted((output / "runs" / "night-1" / "data").iterdir())
    assert [file.name for file in files] == [f"shard-{index:05}.parquet" for index in range(3)]
    assert all(pq.read_schema(file).equals(SCHEMA) for file in files)
    assert pa.types.is_dictionary(SCHEMA.field("label").type)
    assert pq.ParquetFile(files[0]).metadata.row_group(0).column(0).compression == "ZSTD"
    keys = [row["key"] for row in read_rows(output)]
    assert keys == sorted(keys)
    assert len(keys) == 12


def test_the_manifest_lists_each_file_with_its_digest(photos: Path, tiny_models: Path, output: Path) -> None:
    score(settings_for(photos, tiny_models, output, "--shard-images", "5"))
    run = output / "runs" / "night-1"
    files = json.loads((run / "_manifest.json").read_bytes())["files"]
    assert [file["rows"] for file in files] == [5, 5, 2]
    assert all(file_digest(run / file["path"]) == file["sha256"] for file in files)


def test_the_summary_adds_up(photos: Path, tiny_models: Path, output: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"bad")
    score(settings_for(photos, tiny_models, output, "--shard-images", "5"))
    summary = json.loads((output / "runs" / "night-1" / "summary.json").read_bytes())
    assert summary["images"] == 13
    assert summary["statuses"] == {"ok": 12, "undecodable": 1}
    assert summary["labels"] == {"red": 4, "green": 4, "blue": 4}
    assert summary["model"]["version"] == 1
    assert summary["images_per_s"] == pytest.approx(13 / summary["seconds"], rel=0.05)
    assert set(summary["stages"]) == {"fetch", "decode", "compute", "write", "cpu"}
    assert summary["bottleneck"] in summary["stages"]
    assert all(0 <= stage["utilisation"] <= 1 for stage in summary["stages"].values())


def test_the_quarantine_holds_the_rows_that_are_not_ok(photos: Path, tiny_models: Path, output: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"bad")
    score(settings_for(photos, tiny_models, output, "--shard-images", "5"))
    quarantine = pq.read_table(output / "runs" / "night-1" / "quarantine.parquet")
    assert quarantine.schema.equals(SCHEMA)
    assert quarantine.to_pylist() == [row for row in read_rows(output) if row["status"] != "ok"]
    assert quarantine.num_rows == 1


def test_an_empty_folder_is_a_clean_empty_run(
    tiny_models: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    score(settings_for(tmp_path / "empty", tiny_models, output))
    run = output / "runs" / "night-1"
    assert read_rows(output) == []
    assert {path.name for path in run.iterdir()} == {
        *("data", "_manifest.json", "quarantine.parquet", "summary.json", "summary.html", "_SUCCESS")
    }
    assert json.loads((run / "summary.json").read_bytes())["bottleneck"] is None
    printed = capsys.readouterr().out
    assert "bottleneck" not in printed
    assert "quarantine" not in printed


def test_files_that_are_left_out_are_counted_and_said(
    photos: Path,
    tiny_models: Path,
    output: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for index in range(12):
        (photos / f"{index:02}.mov").write_bytes(b"")
    (photos / "._000.png").write_bytes(b"")
    score(settings_for(photos, tiny_models, output))
    summary = json.loads((output / "runs" / "night-1" / "summary.json").read_bytes())
    assert summary["statuses"] == {"ok": 12}
    assert summary["left_out"] == 13
    assert summary["left_out_kinds"] == {
        ".mov": {"files": 12, "names": [f"{index:02}.mov" for index in range(10)]},
        "hidden or system files": {"files": 1, "names": ["._000.png"]},
    }
    line = (
        "13, not images by --include or first bytes: 12 .mov (00.mov), 1 hidden or system files (._000.png)"
    )
    assert f"left out    {line}" in capsys.readouterr().out
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [f"files left out: {line}"]
    page = (output / "runs" / "night-1" / "summary.html").read_text()
    assert "13 files, not images by --include or first bytes" in page
    assert "<li>12 <bdi>.mov</bdi>: <bdi>00.mov</bdi>, <bdi>01.mov</bdi>" in page
    score(settings_for(photos, tiny_models, output, "--requeue", "night-1", run="again"))
    again = json.loads((output / "runs" / "again" / "summary.json").read_bytes())
    assert (again["left_out"], again["left_out_kinds"]) == (13, summary["left_out_kinds"])


def test_latest_names_the_run(photos: Path, tiny_models: Path, output: Path) -> None:
    score(settings_for(photos, tiny_models, output))
    latest = json.loads((output / "latest.json").read_bytes())
    assert (latest["run"], latest["path"]) == ("night-1", "runs/night-1")


def test_latest_does_not_go_back_to_a_run_planned_earlier(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    early = settings_for(photos, tiny_models, output, run="early")
    planned(early)
    score(settings_for(photos, tiny_models, output, run="late"))
    score(early)
    assert json.loads((output / "latest.json").read_bytes())["run"] == "late"


def test_too_many_bad_images_fail_the_run_and_leave_latest(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    score(settings_for(photos, tiny_models, output, run="good"))
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (photos / name).write_bytes(b"bad")
    with pytest.raises(DataInvalid, match=r"3 of 15 images are not ok \(3 undecodable\), more than"):
        score(settings_for(photos, tiny_models, output, "--max-bad-fraction", "0.19"))
    assert {path.name for path in (output / "runs" / "night-1").iterdir()} == {
        *("data", "quarantine.parquet", "summary.json", "summary.html")
    }
    assert json.loads((output / "latest.json").read_bytes())["run"] == "good"


def test_a_run_refused_for_bad_images_is_accepted_with_a_larger_fraction(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    (photos / "a.jpg").write_bytes(b"bad")
    with pytest.raises(DataInvalid):
        score(settings_for(photos, tiny_models, output, "--max-bad-fraction", "0"))
    score(settings_for(photos, tiny_models, output, "--max-bad-fraction", "0.1"))
    assert (output / "runs" / "night-1" / "_SUCCESS").exists()


def test_a_finished_run_is_left_as_it_is(
    photos: Path, tiny_models: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(settings_for(photos, tiny_models, output))
    before = {path: path.stat().st_mtime_ns for path in (output / "runs").rglob("*")}
    (photos / "new.png").write_bytes(tiny.picture("red"))
    capsys.readouterr()
    score(settings_for(photos, tiny_models, output))
    assert capsys.readouterr().out == "run night-1 is finished already: nothing to do\n"
    assert {path: path.stat().st_mtime_ns for path in (output / "runs").rglob("*")} == before


def test_a_finished_run_says_that_latest_json_names_another(
    photos: Path, tiny_models: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(settings_for(photos, tiny_models, output))
    score(settings_for(photos, tiny_models, output, run="night-2"))
    capsys.readouterr()
    score(settings_for(photos, tiny_models, output))
    said = "run night-1 is finished already, and latest.json names night-2: nothing to do\n"
    assert capsys.readouterr().out == said


def test_shards_that_are_there_are_not_scored_again(photos: Path, tiny_models: Path, output: Path) -> None:
    settings = settings_for(photos, tiny_models, output, "--shard-images", "5")
    score(settings)
    data = output / "runs" / "night-1" / "data"
    (output / "runs" / "night-1" / "_SUCCESS").unlink()
    (data / "shard-00001.parquet").unlink()
    inode = (data / "shard-00000.parquet").stat().st_ino
    score(settings)
    assert (data / "shard-00000.parquet").stat().st_ino == inode
    assert len(read_rows(output)) == 12


def test_small_bounds_on_memory_change_no_row(photos: Path, tiny_models: Path, output: Path) -> None:
    score(settings_for(photos, tiny_models, output))
    tight = ("--max-inflight-bytes", "1", "--fetch-concurrency", "1", "--batch-size", "1")
    score(settings_for(photos, tiny_models, output, *tight, run="tight"))
    assert [(row["key"], row["probability"]) for row in read_rows(output)] == [
        (row["key"], row["probability"]) for row in read_rows(output, "tight")
    ]


def test_a_run_loads_its_model_once(photos: Path, tiny_models: Path, output: Path) -> None:
    load_classifier.cache_clear()
    score(settings_for(photos, tiny_models, output, "--shard-images", "5"))
    assert load_classifier.cache_info().misses == 1
