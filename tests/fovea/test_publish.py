"""An older version, published once more: how to roll back."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fovea.errors import BundleInvalid, SettingsInvalid
from fovea.model import versions
from fovea.model.bundle import CONTRACT_FILE, ModelBundle
from fovea.publish import publish
from fovea.stores.storage import open_folder
from tests.buckets import Bucket
from tests.faulty_store import faulty_store, unconditional


@pytest.fixture
def models(tiny_models: Path, tmp_path: Path) -> Path:
    """pets, with the tiny model as version 1 and 2."""
    target = tmp_path / "pets"
    shutil.copytree(tiny_models / "1", target / "1")
    publish(str(target / "1"), str(target))
    return target


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", "-m", "fovea.publish", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ)


def test_one_command_publishes_an_older_version_as_the_next_without_torch(models: Path) -> None:
    result = _command(str(models / "1"))
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout == f"published pets version 3, a copy of {models / '1'}\n"
    assert not any(line.rpartition("|")[2].strip() == "torch" for line in result.stderr.splitlines())
    latest, first = versions.fetch(str(models)), ModelBundle.open(models / "1")
    assert (latest.contract.version, latest.contract.name) == (3, "pets")
    assert latest.contract.files == first.contract.files
    assert latest.contract.training["copy_of"] == str(models / "1")
    assert (models / "3" / "claim.json").is_file()


def test_version_goes_from_a_bucket_to_the_next_number_there(
    models: Path, bucket: Bucket, bucket_endpoint: str, tmp_path: Path
) -> None:
    bucket.put_folder("models/pets", models)
    published = publish(f"{bucket.uri}/models/pets/1", f"{bucket.uri}/models/pets", tmp_path / "cache")
    assert published.contract.version == 3
    assert json.loads(bucket.get(f"models/pets/3/{CONTRACT_FILE}"))["version"] == 3


def test_a_store_that_lets_the_second_publisher_win_gets_nothing(
    models: Path, bucket: Bucket, bucket_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_store(bucket_endpoint) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        store.on("PUT", "", unconditional)
        with pytest.raises(SettingsInvalid, match="this store is told in vain to write only what is absent"):
            publish(str(models / "1"), f"{bucket.uri}/models/pets")
    assert bucket.listing() == []


def test_candidate_is_for_promote(models: Path) -> None:
    candidate = versions.put_candidate(ModelBundle.open(models / "1"), str(models))
    with pytest.raises(BundleInvalid, match=f"a candidate; .* python -m trainer promote {candidate}$"):
        publish(candidate, str(models))
    assert versions.published(open_folder(str(models))) == [1, 2]


def test_damaged_or_wrong_version_is_not_published(models: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"not a version .*; versions there: 1, 2, as .*pets/2"):
        publish(str(models), str(models))
    with pytest.raises(SettingsInvalid, match="not a version"):
        publish(str(models / "7"), str(models))
    contract = json.loads((models / "1" / CONTRACT_FILE).read_text())
    contract["labels"] = contract["labels"][::-1]
    (models / "1" / CONTRACT_FILE).write_text(json.dumps(contract))
    with pytest.raises(BundleInvalid):
        publish(str(models / "1"), str(models))
    (models / "2" / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleInvalid):
        publish(str(models / "2"), str(models))
    assert sorted(path.name for path in models.iterdir()) == ["1", "2"]


def test_candidate_that_training_did_not_publish_is_none_here_either(models: Path) -> None:
    candidate = shutil.copytree(models / "1", models.parent / "candidate")
    contract = json.loads((candidate / CONTRACT_FILE).read_text())
    (candidate / CONTRACT_FILE).write_text(json.dumps({**contract, "version": 0}))
    with pytest.raises(BundleInvalid, match=r"did not publish, .*--publish-anyway"):
        publish(str(candidate), str(models))
    assert sorted(path.name for path in models.iterdir()) == ["1", "2"]
