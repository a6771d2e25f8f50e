from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny
from tests.buckets import Bucket
from tests.faulty_store import faulty_store
from tests.scorer.night import Night


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 12 good images, 000.png to 011.bmp."""
    folder = tmp_path / "photos"
    tiny.fill_folder(folder, 12)
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def night(
    bucket: Bucket,
    bucket_endpoint: str,
    photos: Path,
    tiny_models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Night]:
    """12 images and the tiny model in a bucket whose store can be made to fail."""
    bucket.put_folder("images", photos)
    bucket.put_folder("models/tiny", tiny_models)
    with faulty_store(bucket_endpoint) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        yield Night(store, bucket, tmp_path / "cache")
