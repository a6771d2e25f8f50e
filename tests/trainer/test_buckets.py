"""Images, weights and models in a bucket."""

import unicodedata
from pathlib import Path

import pytest

from fovea import versions
from fovea.errors import DataInvalid
from fovea.storage import open_folder
from tests.buckets import Bucket
from tests.tiny import picture
from trainer import job
from trainer.config import ExportSettings
from trainer.model import build_network
from trainer.sources import open_source
from trainer.weights import load_weights


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
    assert split.left_for_evaluate == {"test": 8}
    assert split.passed_over.record() == {".mov": {"files": 1, "names": ["Training/cat/IMG_1.MOV"]}}
    bucket.put("kaggle/Training/dog/IMG_2.MOV", b"x")
    with pytest.raises(DataInvalid, match=f"{bucket.uri}/kaggle/Training/dog: class 'dog' is empty"):
        _open(f"{bucket.uri}/kaggle", tmp_path)


def test_an_empty_prefix_is_no_data(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="there is nothing under this URI"):
        _open(f"{bucket.uri}/nothing", tmp_path)


def test_weights_come_from_a_bucket(bucket: Bucket, trained: Path, tmp_path: Path) -> None:
    bucket.put("weights/start.pt", (trained / "runs" / "a" / "checkpoint.pt").read_bytes())
    network = build_network("resnet18", 2, 32)
    assert load_weights(network, "resnet18", f"{bucket.uri}/weights/start.pt", None, tmp_path)


def test_a_model_is_published_to_a_bucket(bucket: Bucket, own_run: Path, tmp_path: Path) -> None:
    models = f"{bucket.uri}/models/tiny"
    job.export(ExportSettings(run=own_run, models=models, device="cpu", threads=1))
    assert versions.published(open_folder(models)) == [1]
    assert versions.fetch(models, cache=tmp_path).contract.name == "tiny"
