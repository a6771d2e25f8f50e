"""Images, weights and models in a bucket."""

import unicodedata
from pathlib import Path

import pytest

from fovea.errors import DataInvalid, SettingsInvalid
from fovea.model import versions
from fovea.printable import printable
from fovea.stores.storage import open_folder
from tests.buckets import Bucket, GoogleBucket
from tests.faulty_store import faulty_store, unconditional
from tests.tiny import picture
from trainer import job
from trainer.config import ExportSettings
from trainer.images.sources import open_source
from trainer.network.model import build_network
from trainer.network.weights import load_weights


def _open(uri: str, cache: Path) -> int:
    split = open_source(uri, val_fraction=0.2, seed=0, cache_dir=cache)
    return len(split.train) + len(split.heldout)


def test_a_bucket_of_images_is_fetched_once_and_follows_changes(
    bucket: Bucket, few_digits: Path, tmp_path: Path
) -> None:
    bucket.put_folder("digits", few_digits)
    assert _open(f"{bucket.uri}/digits", tmp_path) == 68
    fetched = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.png")}
    extra = next((few_digits / "val" / "0").iterdir())
    bucket.put("digits/train/0/extra.png", extra.read_bytes())
    assert _open(f"{bucket.uri}/digits", tmp_path) == 69
    assert {file: file.stat().st_mtime_ns for file in fetched} == fetched


def test_a_bucket_is_laid_out_as_a_folder_and_named_by_its_uri(bucket: Bucket, tmp_path: Path) -> None:
    images = [picture("red", (width, 20)) for width in range(20, 36)]
    for part in ("Training", "Testing"):
        for label in ("cat", unicodedata.normalize("NFD", "café ")):
            for index in range(4):
                bucket.put(f"kaggle/{part}/{label}/{index}.png", images.pop())
    bucket.put("kaggle/Training/cat/IMG_1.MOV", b"x")
    split = open_source(f"{bucket.uri}/kaggle", val_fraction=0.25, seed=0, cache_dir=tmp_path)
    assert (split.labels, len(split.train), len(split.heldout)) == (("café", "cat"), 6, 2)
    assert len(split.test) == 8
    assert split.passed_over.record() == {".mov": {"files": 1, "names": ["Training/cat/IMG_1.MOV"]}}
    bucket.put("kaggle/Training/dog/IMG_2.MOV", b"x")
    with pytest.raises(DataInvalid, match=f"{bucket.uri}/kaggle/Training/dog: class 'dog' is empty"):
        _open(f"{bucket.uri}/kaggle", tmp_path)


def test_a_key_that_can_be_no_file_costs_itself_alone(
    bucket: Bucket, few_digits: Path, tmp_path: Path
) -> None:
    bucket.put_folder("digits", few_digits)
    image = next((few_digits / "val" / "0").iterdir()).read_bytes()
    long, odd = f"train/0/{'x' * 300}.png", ("train/0//1.png", "../1.png", "train/0/\x01.png")
    for key in (*odd, long, "train/0", "train/1/9.png", "train/1/9.png/1.txt"):
        bucket.put(f"digits/{key}", image)
    for mark in ("", "train/", "train/0/", "new/"):
        bucket.put(f"digits/{mark}", b"")
    cold = {"Key": "digits/train/0/cold.png", "Body": image, "StorageClass": "GLACIER"}
    bucket.client.put_object(Bucket=bucket.name, **cold)
    split = open_source(f"{bucket.uri}/digits", val_fraction=0.2, seed=0, cache_dir=tmp_path)
    assert len(split.train) + len(split.heldout) == 68
    names = {kind: sorted(files.names) for kind, files in split.passed_over.kinds.items()}
    assert names["whose key can be no file's name"] == sorted(printable(key) for key in (*odd, long))
    assert names["whose key is a folder's too"] == ["train/0", "train/1/9.png"]
    assert names["that the store does not give"] == ["train/0/cold.png"]


def test_of_google_too_a_key_that_can_be_no_file_costs_itself_alone(
    google_bucket: GoogleBucket, few_digits: Path, tmp_path: Path
) -> None:
    google_bucket.put_folder("digits", few_digits)
    google_bucket.put("digits/train/0//1.png", b"x")
    split = open_source(f"{google_bucket.uri}/digits", val_fraction=0.2, seed=0, cache_dir=tmp_path)
    assert len(split.train) + len(split.heldout) == 68
    assert split.passed_over.kinds["whose key can be no file's name"].names == ["train/0//1.png"]


def test_what_was_a_folder_may_become_an_object_and_the_other_way_about(
    bucket: Bucket, few_digits: Path, tmp_path: Path
) -> None:
    bucket.put_folder("digits", few_digits)
    image = next((few_digits / "val" / "0").iterdir()).read_bytes()
    for before, after in (("a.png", "a.png/b.png"), ("a.png/b.png", "a.png")):
        bucket.delete(f"digits/train/0/{after}")
        bucket.put(f"digits/train/0/{before}", image)
        assert _open(f"{bucket.uri}/digits", tmp_path) == 69
        bucket.delete(f"digits/train/0/{before}")
        bucket.put(f"digits/train/0/{after}", image)
        assert _open(f"{bucket.uri}/digits", tmp_path) == 69


def test_an_empty_prefix_is_no_data(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="there is nothing under this URI"):
        _open(f"{bucket.uri}/nothing", tmp_path)


def test_weights_come_from_a_bucket(bucket: Bucket, trained: Path, tmp_path: Path) -> None:
    bucket.put("weights/start.pt", (trained / "runs" / "a" / "checkpoint.pt").read_bytes())
    network = build_network("resnet18", 2, 32)
    assert load_weights(network, "resnet18", f"{bucket.uri}/weights/start.pt", None, tmp_path)


def test_a_store_on_which_two_could_publish_one_version_is_refused_before_the_work(
    bucket: Bucket, bucket_endpoint: str, own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_store(bucket_endpoint) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        store.on("PUT", "/models/", unconditional)
        with pytest.raises(SettingsInvalid, match="told in vain to write only what is absent"):
            job.export(
                ExportSettings(run=own_run, models=f"{bucket.uri}/models/tiny", device="cpu", threads=1)
            )


@pytest.mark.usefixtures("known_exports")
def test_a_model_is_published_to_a_bucket(bucket: Bucket, own_run: Path, tmp_path: Path) -> None:
    models = f"{bucket.uri}/models/tiny"
    job.export(ExportSettings(run=own_run, models=models, device="cpu", threads=1))
    assert versions.published(open_folder(models)) == [1]
    assert versions.fetch(models, cache=tmp_path).contract.name == "tiny"
