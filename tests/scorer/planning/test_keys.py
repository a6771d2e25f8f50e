"""Runs whose images a file names."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fovea.errors import DataInvalid, Unavailable
from fovea.stores.folder import Entry
from fovea.stores.storage import LocalFolder
from scorer.planning.keys import LOST_AFTER_LOOKUPS, look_up, read_keys
from scorer.run import score
from tests import tiny
from tests.buckets import Bucket
from tests.scorer.runs import error_line, flags, planned, read_rows, scorer, settings_for, statuses

Write = Callable[[bytes | pa.Table], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of keys, as CSV text or as a table in parquet."""

    def write(content: bytes | pa.Table) -> Path:
        path = tmp_path / "keys.any"
        path.write_bytes(content) if isinstance(content, bytes) else pq.write_table(content, path)
        return path

    return write


def test_the_named_images_are_scored_once_and_sorted(
    write: Write, photos: Path, tiny_models: Path, output: Path
) -> None:
    keys = write(b"source,key\nx,003.bmp\ny,000.png\nz,003.bmp\n")
    score(settings_for(photos, tiny_models, output, "--keys", str(keys)))
    assert list(statuses(output).items()) == [("000.png", "ok"), ("003.bmp", "ok")]
    expected = tiny.fill_folder(photos, 12)
    assert all(row["label"] == expected[row["key"]] for row in read_rows(output))


def test_a_key_that_is_not_there_gets_a_row(
    write: Write, photos: Path, tiny_models: Path, output: Path
) -> None:
    keys = write(b"key\n000.png\nnowhere.png\nalso/not.png\n")
    score(settings_for(photos, tiny_models, output, "--keys", str(keys), "--max-bad-fraction", "1"))
    assert statuses(output) == {"000.png": "ok", "also/not.png": "gone", "nowhere.png": "gone"}


def test_include_and_exclude_choose_among_the_keys(
    write: Write, photos: Path, tiny_models: Path, output: Path
) -> None:
    (photos / "README").write_text("Photos.")
    keys = write(b"key\n000.png\n001.jpeg\n004.png\nREADME\n")
    settings = settings_for(photos, tiny_models, output, "--keys", str(keys), "--exclude", "004*")
    assert (planned(settings).images, planned(settings).left_out) == (2, 1)


def test_named_images_are_carried_forward_from_a_listing(
    write: Write, photos: Path, tiny_models: Path, output: Path
) -> None:
    score(settings_for(photos, tiny_models, output))
    keys = write(b"key\n000.png\n003.bmp\nnowhere.png\n")
    assert planned(settings_for(photos, tiny_models, output, "--keys", str(keys), run="some")).carried == 2


def test_keys_and_images_can_be_in_a_bucket(
    bucket: Bucket, photos: Path, tiny_models: Path, output: Path
) -> None:
    bucket.put_folder("images", photos)
    bucket.put("lists/tonight.csv", b"key\n001.jpeg\n000.png\ngone.png\n")
    where = ("--keys", f"{bucket.uri}/lists/tonight.csv")
    score(settings_for(f"{bucket.uri}/images", tiny_models, output, *where))
    assert statuses(output) == {"000.png": "ok", "001.jpeg": "ok", "gone.png": "gone"}
    bucket.delete("lists/tonight.csv")
    score(settings_for(f"{bucket.uri}/images", tiny_models, output, *where))  # planned: the list is not read


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.string_view()])
def test_parquet_may_hold_the_keys_as_any_text(kind: pa.DataType, write: Write) -> None:
    column = pa.array(["b", "é", "a", "b"]).cast(kind)
    assert list(read_keys(str(write(pa.table({"key": column}))))) == ["a", "b", "é"]


def test_parquet_may_hold_the_keys_in_a_dictionary(write: Write) -> None:
    column = pa.array(["b", "a", "b"]).dictionary_encode()
    assert list(read_keys(str(write(pa.table({"key": column}))))) == ["a", "b"]


def test_a_key_need_not_be_utf8(write: Write) -> None:
    assert list(read_keys(str(write(b"key\ncaf\xe9.png\n")))) == [os.fsdecode(b"caf\xe9.png")]


def test_a_file_that_names_no_key_is_a_clean_empty_run(
    write: Write, photos: Path, tiny_models: Path, output: Path
) -> None:
    score(settings_for(photos, tiny_models, output, "--keys", str(write(b"key\n"))))
    assert read_rows(output) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty; --keys takes a parquet or CSV file with a column key"),
        (b"\n\n", "its keys cannot be read"),
        (b"name\n000.png\n", "there is no column key"),
        (b"\x89PNG\r\n\x1a\n\0\0", "there is no column key"),
        (b"key,more\n000.png\n", "its keys cannot be read"),
        (b"PAR1 and no more", "its keys cannot be read"),
        (b"key\n../secret.png\n", "'../secret.png' is no key; keys are relative to SOURCE"),
        (b"key\n/etc/passwd\n", "is no key"),
        (b"key\ns3://bucket/a.png\n", "is no key"),
        (b"key\n''\na\0b\n", "is no key"),
        (pa.table({"name": ["a"]}), "there is no column key"),
        (pa.table({"key": [1, 2]}), "its keys cannot be read"),
        (pa.table({"key": ["a", None]}), "'' is no key"),
    ],
)
def test_a_file_without_keys_is_refused_in_one_line(
    content: bytes | pa.Table, says: str, write: Write
) -> None:
    with pytest.raises(DataInvalid) as caught:
        list(read_keys(str(write(content))))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_keys_that_is_not_there_is_one_line(photos: Path, tiny_models: Path, output: Path) -> None:
    result = scorer("run", *flags(photos, tiny_models, output, "--keys", "nowhere.csv"))
    assert result.returncode == 65
    assert "nowhere.csv: no such file" in error_line(result)


def test_the_same_run_with_another_file_of_keys_is_refused(
    write: Write, photos: Path, tiny_models: Path, output: Path
) -> None:
    planned(settings_for(photos, tiny_models, output))
    result = scorer("run", *flags(photos, tiny_models, output, "--keys", str(write(b"key\n"))))
    assert result.returncode == 2
    assert "planned with --keys nothing, not" in error_line(result)


class Lost(LocalFolder):
    """A store that does not answer."""

    def stat(self, key: str) -> Entry:
        raise Unavailable(f"{key}: no answer")


def test_a_store_that_answers_no_lookup_is_unavailable(photos: Path) -> None:
    keys = [f"{number:04}.png" for number in range(10 * LOST_AFTER_LOOKUPS)]
    with pytest.raises(Unavailable, match=r"100 lookups in a row failed, the last: 0099\.png: no answer"):
        list(look_up(Lost(photos), keys))


def test_lookups_that_fail_with_an_answer_between_them_are_not_in_a_row(photos: Path) -> None:
    class Often(LocalFolder):
        def stat(self, key: str) -> Entry:
            if not key.startswith("lost"):
                return super().stat(key)
            raise Unavailable(f"{key}: no answer")

    lost = [f"lost-{number:03}.png" for number in range(LOST_AFTER_LOOKUPS - 1)]
    for answered in ("000.png", "missing.png"):  # that it is not there is an answer too
        keys = [*lost, answered, *lost]
        assert [entry.key for entry in look_up(Often(photos), keys)] == keys


def test_an_image_that_cannot_be_looked_up_gets_a_row_all_the_same(
    write: Write, photos: Path, tiny_models: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (photos / "loop.png").symlink_to(photos / "loop.png")
    keys = write(b"key\n000.png\nloop.png\n")
    score(settings_for(photos, tiny_models, output, "--keys", str(keys)))
    assert statuses(output) == {"000.png": "ok", "loop.png": "unreadable"}
    assert "images that could not be looked up: 1, the last" in caplog.text
