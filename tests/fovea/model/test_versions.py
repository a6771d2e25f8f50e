import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fovea.errors import BundleInvalid, Unavailable
from fovea.model import versions
from fovea.model.bundle import CONTRACT_FILE, ModelBundle, contract_json, read_contract
from fovea.stores.storage import is_bucket, open_folder
from tests import tiny
from tests.buckets import Bucket


@pytest.fixture(params=["local", "bucket"])
def models(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of a models folder in which nothing is published yet."""
    if request.param == "local":
        return str(tmp_path / "models" / "pets")
    bucket: Bucket = request.getfixturevalue("bucket")
    return f"{bucket.uri}/models/pets"


@pytest.fixture
def staged(tmp_path: Path) -> ModelBundle:
    return tiny.stage_bundle(tmp_path / "staged")


def cached_versions(cache: Path) -> list[Path]:
    return sorted((cache / "models").iterdir())


def test_versions_are_numbered_from_one(models: str, staged: ModelBundle) -> None:
    numbers = [versions.publish(staged, models).contract.version for _ in range(3)]
    assert numbers == [1, 2, 3]
    assert versions.published(open_folder(models)) == [1, 2, 3]


def test_a_published_bundle_has_the_folders_name(models: str, staged: ModelBundle) -> None:
    assert versions.publish(staged, models).contract.name == "pets"


def test_fetch_takes_the_latest_version_or_the_one_asked_for(
    models: str, staged: ModelBundle, tmp_path: Path
) -> None:
    for _ in range(11):
        versions.publish(staged, models)
    assert versions.fetch(models, cache=tmp_path).contract.version == 11
    assert versions.fetch(models, 2, tmp_path).contract.version == 2


def test_publishers_at_once_never_share_a_number(models: str, staged: ModelBundle) -> None:
    with ThreadPoolExecutor(6) as pool:
        published = list(pool.map(lambda _: versions.publish(staged, models), range(6)))
    assert sorted(bundle.contract.version for bundle in published) == [1, 2, 3, 4, 5, 6]


def test_a_version_that_is_half_there_is_not_a_version(
    models: str, staged: ModelBundle, tmp_path: Path
) -> None:
    versions.publish(staged, models)
    open_folder(models).write("2/model.onnx", b"half")
    assert versions.fetch(models, cache=tmp_path).contract.version == 1
    with pytest.raises(BundleInvalid, match=r"no version 2 \(there are: 1\)"):
        versions.fetch(models, 2, tmp_path)


def test_the_whole_versions_above_a_number_are_before_it(models: str, staged: ModelBundle) -> None:
    folder = open_folder(models)
    versions.publish(staged, models)
    versions.publish(staged, models)
    folder.write("3/claim.json", b"{}")
    versions.publish(staged, models)
    seen = versions.look(folder)
    before = [list(versions.whole(folder, seen.before(current))) for current in (0, 1, 4)]
    assert before == [[4, 2, 1], [4, 2], []]


def test_a_look_tells_nothing_new_from_nothing_left(models: str) -> None:
    assert versions.look(open_folder(models)).order == ()
    with pytest.raises(Unavailable, match="version 1 was here, and now there is none"):
        versions.look(open_folder(models), 1)


def test_only_what_was_downloaded_is_dropped(models: str, staged: ModelBundle, tmp_path: Path) -> None:
    versions.publish(staged, models)
    fetched = versions.fetch(models, cache=tmp_path / "cache")
    versions.drop_cached(fetched, models)
    assert fetched.path.exists() == (not is_bucket(models))
    assert versions.fetch(models, cache=tmp_path / "cache").contract == fetched.contract


def test_the_number_of_a_half_version_is_not_used_again(models: str, staged: ModelBundle) -> None:
    open_folder(models).write("1/claim.json", b"{}")
    assert versions.publish(staged, models).contract.version == 2


def test_folders_that_are_no_numbers_are_passed_over(
    models: str, staged: ModelBundle, tmp_path: Path
) -> None:
    for name in ("0", "01", "latest", "-1", "²", "٣"):
        open_folder(models).write(f"{name}/{CONTRACT_FILE}", b"{}")
    versions.publish(staged, models)
    assert versions.published(open_folder(models)) == [1]


def test_an_empty_models_folder_is_named(models: str, tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match=r"models/pets: no model is published here"):
        versions.fetch(models, cache=tmp_path)


def test_a_contract_with_another_number_is_refused(models: str, staged: ModelBundle, tmp_path: Path) -> None:
    bundle = versions.publish(staged, models)
    other = bundle.contract.model_copy(update={"version": 9})
    open_folder(models).write(f"1/{CONTRACT_FILE}", contract_json(other))
    with pytest.raises(BundleInvalid, match="says that it is version 9"):
        versions.fetch(models, cache=tmp_path)


def test_a_changed_byte_is_named_where_it_lies(models: str, staged: ModelBundle, tmp_path: Path) -> None:
    versions.publish(staged, models)
    published = open_folder(models).folder("1")
    published.write("model.onnx", published.read("model.onnx") + b" ")
    with pytest.raises(BundleInvalid, match=r"models/pets/1/model\.onnx: changed since it was released"):
        versions.fetch(models, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_a_buckets_version_is_downloaded_once(bucket: Bucket, staged: ModelBundle, tmp_path: Path) -> None:
    models = f"{bucket.uri}/models/pets"
    versions.publish(staged, models)
    first = versions.fetch(models, cache=tmp_path)
    bucket.delete("models/pets/1/model.onnx")
    second = versions.fetch(models, cache=tmp_path)
    assert second.path == first.path
    assert read_contract(second.path) == first.contract


def test_a_damaged_copy_in_the_cache_is_fetched_again(
    bucket: Bucket, staged: ModelBundle, tmp_path: Path
) -> None:
    models = f"{bucket.uri}/models/pets"
    versions.publish(staged, models)
    first = versions.fetch(models, cache=tmp_path)
    first.model_path.write_bytes(b"damaged")
    again = versions.fetch(models, cache=tmp_path)
    assert ModelBundle.open(again.path).digest == staged.digest


def test_two_buckets_with_the_same_name_and_number_do_not_mix_in_the_cache(
    bucket: Bucket, staged: ModelBundle, tmp_path: Path
) -> None:
    other = tiny.stage_bundle(tmp_path / "other", gain=4.0)
    versions.publish(staged, f"{bucket.uri}/a/pets")
    versions.publish(other, f"{bucket.uri}/b/pets")
    fetched = [versions.fetch(f"{bucket.uri}/{folder}/pets", cache=tmp_path) for folder in "abab"]
    assert [bundle.digest for bundle in fetched] == [staged.digest, other.digest] * 2
    assert len(cached_versions(tmp_path)) == 2


def test_fetching_at_once_leaves_one_whole_copy(bucket: Bucket, staged: ModelBundle, tmp_path: Path) -> None:
    models = f"{bucket.uri}/models/pets"
    versions.publish(staged, models)
    with ThreadPoolExecutor(4) as pool:
        bundles = list(pool.map(lambda _: versions.fetch(models, cache=tmp_path), range(4)))
    (path,) = cached_versions(tmp_path)
    assert {bundle.path for bundle in bundles} == {path}
    ModelBundle.open(path)


def test_a_cache_that_cannot_be_written_is_unavailable(
    bucket: Bucket, staged: ModelBundle, tmp_path: Path
) -> None:
    versions.publish(staged, f"{bucket.uri}/models/pets")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="the model cache cannot be written"):
        versions.fetch(f"{bucket.uri}/models/pets", cache=tmp_path / "file")


def test_a_local_version_is_opened_where_it_is(staged: ModelBundle, tmp_path: Path) -> None:
    models = tmp_path / "models" / "pets"
    versions.publish(staged, str(models))
    shutil.rmtree(staged.path)
    assert versions.fetch(str(models)).path == models / "1"


def test_a_bundle_is_opened_by_its_own_uri_or_as_the_latest_of_its_model(
    models: str, staged: ModelBundle, tmp_path: Path
) -> None:
    for _ in range(2):
        versions.publish(staged, models)
    for uri, version in ((models, 2), (f"{models}/1", 1), (f"{models}/2", 2)):
        opened = versions.open_bundle(uri, tmp_path / "cache")
        assert opened.contract.version == version
        assert opened.path.is_relative_to(tmp_path / "cache" if is_bucket(models) else models)
    with pytest.raises(BundleInvalid, match=r"there is no version 3 \(there are: 1, 2\)"):
        versions.open_bundle(f"{models}/3", tmp_path)
    with pytest.raises(BundleInvalid, match="no model is published here"):
        versions.open_bundle(f"{models}/candidates", tmp_path)


def test_a_version_of_a_model_that_has_none_is_said_to_be_missing(models: str) -> None:
    with pytest.raises(BundleInvalid, match=r"there is no version 2 \(there are: none\)"):
        versions.fetch(models, 2)


def test_models_are_kept_in_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert versions.default_cache() == tmp_path / "caches" / "fovea"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert versions.default_cache() == tmp_path / ".cache" / "fovea"

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(Unavailable, match="no home folder to keep models in: set XDG_CACHE_HOME"):
        versions.default_cache()


def test_a_buckets_version_comes_into_the_users_cache_unless_told_otherwise(
    bucket: Bucket, staged: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    models = f"{bucket.uri}/models/pets"
    versions.publish(staged, models)
    for opened in (versions.fetch(models), versions.open_bundle(f"{models}/1")):
        assert opened.path.parent == tmp_path / "fovea" / "models"
    assert len(cached_versions(tmp_path / "fovea")) == 1
    assert not list((tmp_path / "fovea" / "models").glob(".partial-*"))
