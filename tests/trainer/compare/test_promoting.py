"""`promote` and `rollback`, and publishing what is not worse."""

from pathlib import Path
from typing import Any

import pytest

from fovea.errors import BundleInvalid, DataInvalid, ExitCode, SettingsInvalid
from fovea.model import rollouts, versions
from fovea.model.bundle import ModelBundle
from fovea.model.promotions import Overtaken, Promotion, move, promotion_of
from fovea.model.rollouts import begin
from fovea.stores.storage import Folder, open_folder
from tests import tiny
from tests.buckets import Bucket
from tests.tiny import LABELS
from tests.trainer.compare.made import SWAPPED, publish, write_images
from trainer.compare import promoting
from trainer.compare.weighing import Guard, Labelled, publish_unless_worse, weigh
from trainer.config import CanarySettings, PromoteSettings, RollbackSettings, TrainSettings
from trainer.images.sources import open_heldout

GUARD = Guard(0.95, ())


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Version 2 takes green and blue for each other; 1 and 3 do not."""
    publish(tmp_path / "tiny", tmp_path / "staged", LABELS, SWAPPED, LABELS)
    return tmp_path / "tiny"


@pytest.fixture
def images(tmp_path: Path) -> Labelled:
    source, cache = str(write_images(tmp_path / "images")), tmp_path / "cache"
    return Labelled(source, open_heldout(source, cache, LABELS).samples, 0.01, cache)


def promote(bundle: Path | str, **options: Any) -> None:
    promoting.promote(PromoteSettings(bundle=str(bundle), threads=1, **options))


def rollback(models: Path | str, **options: Any) -> None:
    promoting.rollback(RollbackSettings(models=str(models), threads=1, **options))


def canary(bundle: Path | str, **options: Any) -> None:
    promoting.canary(CanarySettings(bundle=str(bundle), threads=1, **options))


def latest(models: Path | str) -> int | None:
    return versions.latest(open_folder(str(models)))


def record(models: Path | str) -> Promotion:
    found = versions.look(open_folder(str(models))).standing.promotion
    assert found is not None
    return found


def test_rollback_goes_back_one_after_the_other(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rollback(models, by="ann", why="green is blue")
    said = capsys.readouterr().out
    assert said == f"{models}: latest is version 2, it was 3 (rollback by ann: green is blue)\n"
    assert (latest(models), record(models).who, record(models).why) == (2, "ann", "green is blue")
    rollback(models)
    assert latest(models) == 1
    with pytest.raises(DataInvalid, match="there is no version before 1; name one by --to"):
        rollback(models)
    rollback(models, to=3)
    assert latest(models) == 3
    with pytest.raises(BundleInvalid, match=r"there is no version 9 \(there are: 1, 2, 3\)"):
        rollback(models, to=9)


def test_rollback_after_a_promotion_goes_to_what_was_before_it(models: Path) -> None:
    promote(models / "1")
    promote(models / "2")
    rollback(models)
    assert latest(models) == 1
    rollback(models)
    assert latest(models) == 3


def test_it_moves_in_a_bucket_too(models: Path, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put_folder("models/tiny", models)
    uri = f"{bucket.uri}/models/tiny"
    rollback(uri, cache_dir=tmp_path / "cache")
    assert latest(uri) == 2
    promote(f"{uri}/3", cache_dir=tmp_path / "cache")
    assert (latest(uri), record(uri).earlier) == (3, (2, 1))


def test_the_latest_is_weighed_out_of_the_given_cache(
    models: Path, images: Labelled, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    bucket.put_folder("models/tiny", models)
    promote(f"{bucket.uri}/models/tiny/1", cache_dir=images.cache_dir, data=images.source)
    downloaded = {file.name.partition("-")[0] for file in (images.cache_dir / "models").iterdir()}
    assert downloaded == {"1", "3"}
    assert not (tmp_path / "home").exists()


def test_who_is_overtaken_is_told_and_moves_nothing(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaking(folder: Folder, *rest: Any) -> object:
        seen = versions.look(folder)
        move(folder, seen.standing, promotion_of(1, seen.order, "promote", "faster", "bob"))
        return move(folder, *rest)

    monkeypatch.setattr(promoting, "move", overtaking)
    with pytest.raises(Overtaken, match="moved meanwhile, to version 1, by bob") as told:
        rollback(models)
    assert (latest(models), told.value.exit_code) == (1, ExitCode.UNAVAILABLE)


def test_who_is_overtaken_where_there_are_no_records_is_told_too(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(*_: object) -> None:
        open_folder(str(models)).write("4/bundle.json", b"{}")  # as one who publishes does

    monkeypatch.setattr(promoting, "_checked", overtaken)
    with pytest.raises(Overtaken, match="version 4 is the latest meanwhile"):
        rollback(models)
    assert not (models / "promotions").exists()


def test_candidate_becomes_the_next_version_and_the_latest(models: Path, tmp_path: Path) -> None:
    candidate = versions.put_candidate(tiny.stage_bundle(tmp_path / "new", gain=5), str(models))
    promote(candidate, why="looked at")
    contract = versions.fetch(str(models)).contract
    assert (contract.version, contract.training["copy_of"]) == (4, candidate)
    assert (record(models).how, record(models).why, record(models).earlier) == (
        "promote",
        "looked at",
        (3, 2, 1),
    )


def test_what_is_worse_on_data_is_not_promoted(models: Path, images: object, tmp_path: Path) -> None:
    with pytest.raises(
        DataInvalid, match=r"not promoted: it is worse than version 3: its accuracy is worse: 1"
    ):
        promote(models / "2", data=str(tmp_path / "images"), cache_dir=tmp_path / "cache")
    assert not (models / "promotions").exists()
    promote(models / "1", data=str(tmp_path / "images"), cache_dir=tmp_path / "cache")
    assert record(models).why.startswith(
        "by hand; beside version 3, accuracy 100.00% to 100.00% of 30 images"
    )


def test_a_class_that_only_the_latest_has_is_a_class_of_the_images(models: Path, tmp_path: Path) -> None:
    """Folders that hold the same folders would be taken for parts, unless all are classes of a model."""
    for colour in LABELS:
        for camera in ("a", "b"):
            (tmp_path / "photos" / colour / camera).mkdir(parents=True)
            (tmp_path / "photos" / colour / camera / "0.png").write_bytes(tiny.picture(colour))
    new = tiny.stage_bundle(tmp_path / "new", labels=("red", "green", "teal"))
    candidate = versions.put_candidate(new, str(models))
    promote(candidate, data=str(tmp_path / "photos"), cache_dir=tmp_path / "cache")
    assert (latest(models), "of 4 images" in record(models).why) == (4, True)


def test_images_that_cannot_be_decoded_weigh_nothing_and_are_told(
    models: Path, images: Labelled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"data": images.source, "cache_dir": tmp_path / "cache"}
    (tmp_path / "images" / "red" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataInvalid, match=r"1 of 30 images cannot be used, more than --max-bad-fraction"):
        promote(models / "1", **options)
    assert not (models / "promotions").exists()
    promote(models / "1", **options, max_bad_fraction=0.1)
    assert "images left out: 1; the first is" in caplog.text
    assert "of 29 images" in record(models).why
    for image in images.samples:
        image.path.write_bytes(b"no image")
    with pytest.raises(DataInvalid, match="30 of 30 images cannot be used"):
        promote(models / "3", **options, max_bad_fraction=1)


def test_what_is_neither_version_nor_candidate_or_damaged_is_refused(models: Path) -> None:
    with pytest.raises(SettingsInvalid, match="neither a version, as models/pets/3, nor a candidate"):
        promote(models)
    (models / "2" / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleInvalid):
        promote(models / "2")
    with pytest.raises(BundleInvalid):
        rollback(models)
    assert not (models / "promotions").exists()


def test_the_latest_is_not_promoted_again(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    promote(models / "3")
    promote(models / "3")
    assert capsys.readouterr().out.endswith("/3 is the latest already\n")
    assert versions.look(open_folder(str(models))).standing.number == 1


def test_worse_model_lands_below_candidates(models: Path, images: Labelled, tmp_path: Path) -> None:
    worse = tiny.stage_bundle(tmp_path / "worse", labels=SWAPPED)
    weighed = weigh(worse, str(models), images, GUARD, 1)
    put = publish_unless_worse(worse, weighed, str(models), images, GUARD, 1)
    assert put.refusal is not None
    assert put.refusal.startswith(
        "it is worse than version 3: its accuracy is worse: 100.00% to 33.33% of 30"
    )
    assert Path(put.uri).parent == models / "candidates"
    assert ModelBundle.open(Path(put.uri)).contract.version == 0
    assert (latest(models), versions.published(open_folder(str(models)))) == (3, [1, 2, 3])


def test_model_that_is_not_worse_becomes_the_latest_with_the_numbers(
    models: Path, images: Labelled, tmp_path: Path
) -> None:
    good = tiny.stage_bundle(tmp_path / "good", gain=5)
    weighed = weigh(good, str(models), images, GUARD, 1)
    put = publish_unless_worse(good, weighed, str(models), images, GUARD, 1)
    assert put == (str(models / "4"), None)
    assert (latest(models), record(models).earlier) == (4, (3, 2, 1))
    assert "beside version 3, accuracy 100.00% to 100.00%" in record(models).why


def test_model_is_weighed_against_who_was_faster(models: Path, images: Labelled, tmp_path: Path) -> None:
    """It is as good as 2, the latest when it was weighed; then 1 is promoted, which is better."""
    rollback(models)
    swapped = tiny.stage_bundle(tmp_path / "swapped", gain=5, labels=SWAPPED)
    weighed = weigh(swapped, str(models), images, GUARD, 1)
    assert (weighed.against, weighed.refusal) == (2, None)
    promote(models / "1")
    put = publish_unless_worse(swapped, weighed, str(models), images, GUARD, 1)
    assert put.refusal is not None
    assert put.refusal.startswith("it is worse than version 1")
    assert (put.uri, latest(models)) == (str(models / "4"), 1)


def test_version_that_cannot_be_weighed_against_who_was_faster_is_told_and_not_the_latest(
    models: Path, images: Labelled, tmp_path: Path
) -> None:
    rollback(models)
    swapped = tiny.stage_bundle(tmp_path / "swapped", gain=5, labels=SWAPPED)
    weighed = weigh(swapped, str(models), images, GUARD, 1)
    promote(models / "1")
    (models / "1" / "model.onnx").write_bytes(b"damaged")
    put = publish_unless_worse(swapped, weighed, str(models), images, GUARD, 1)
    assert put.refusal is not None
    assert put.refusal.startswith("it cannot be compared with the latest: ")
    assert put.refusal.endswith("; see to that, then promote it")
    assert (put.uri, latest(models)) == (str(models / "4"), 1)


def test_model_that_is_worse_than_who_was_faster_is_not_the_latest_by_its_number(
    images: Labelled, tmp_path: Path
) -> None:
    """Where no record says which one is the latest, the highest number is."""
    models = tmp_path / "pets"
    publish(models, tmp_path / "staged", SWAPPED)
    swapped = tiny.stage_bundle(tmp_path / "swapped", gain=5, labels=SWAPPED)
    weighed = weigh(swapped, str(models), images, GUARD, 1)
    versions.publish(tiny.stage_bundle(tmp_path / "good", gain=5), str(models))
    put = publish_unless_worse(swapped, weighed, str(models), images, GUARD, 1)
    assert (put.uri, latest(models), record(models).version) == (str(models / "3"), 2, 2)
    assert put.refusal is not None
    assert put.refusal.startswith("it is worse than version 2")


def test_model_that_is_worse_than_a_first_version_put_at_once_is_not_the_latest(
    images: Labelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, good = str(tmp_path / "pets"), tiny.stage_bundle(tmp_path / "good", gain=5)
    swapped = tiny.stage_bundle(tmp_path / "swapped", gain=5, labels=SWAPPED)
    weighed = weigh(swapped, models, images, GUARD, 1)
    assert weighed.against is None
    claim = versions._claim

    def second(folder: Folder) -> int:
        monkeypatch.setattr(versions, "_claim", claim)
        versions.publish(good, models)
        return claim(folder)

    monkeypatch.setattr(versions, "_claim", second)
    put = publish_unless_worse(swapped, weighed, models, images, GUARD, 1)
    assert (put.uri, put.refusal is None, latest(models)) == (f"{models}/2", False, 1)


def test_first_version_is_worse_than_none(images: Labelled, tmp_path: Path) -> None:
    first = tiny.stage_bundle(tmp_path / "first")
    weighed = weigh(first, str(tmp_path / "new"), images, GUARD, 1)
    assert publish_unless_worse(first, weighed, str(tmp_path / "new"), images, GUARD, 1).refusal is None
    assert latest(tmp_path / "new") == 1


def test_a_guard_that_guards_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="--guard-class is of --promote better"):
        TrainSettings(data="digits", models="models/tiny", guard_class=("1",))
    TrainSettings(data="digits", models="models/tiny", guard_class=("1",), promote="better")
    with pytest.raises(ValueError, match="--guard-class needs --data"):
        PromoteSettings(bundle="models/tiny/1", guard_class=("1",))
    PromoteSettings(bundle="models/tiny/1", guard_class=("1",), data="digits")


def test_candidate_is_tried_as_the_next_version_and_is_not_the_latest(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = versions.put_candidate(tiny.stage_bundle(tmp_path / "new", gain=5), str(models))
    canary(candidate, percent=1, by="ann", why="looked at")
    assert capsys.readouterr().out == f"{models}: version 4 answers 1 % of the calls (by ann: looked at)\n"
    assert latest(models) == 3
    with pytest.raises(DataInvalid, match="no canary: version 4 is one, since ann had it answer 1 %"):
        canary(models / "99", percent=0)
    with pytest.raises(DataInvalid, match="no canary: version 4 is one"):
        canary(candidate, percent=0)
    canary(models / "4", percent=0)
    with pytest.raises(DataInvalid, match="no canary: there is none whose rollout could end"):
        canary(models / "4", percent=0)
    number, rollout = rollouts.held(open_folder(str(models)))
    assert rollout is not None
    assert (number, rollout.version, rollout.percent, rollout.latest) == (2, 4, 0, 1)
    with pytest.raises(DataInvalid, match="is the latest already"):
        canary(models / "3", percent=5)
    begin(open_folder(str(models)), rollouts.Held(number, rollout), rollout)
    with pytest.raises(Overtaken, match="another rollout has begun meanwhile"):
        begin(open_folder(str(models)), rollouts.Held(number, rollout), rollout)
