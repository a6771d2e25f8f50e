import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fovea.errors import DataInvalid, ObjectUnreadable, SettingsInvalid, Unavailable
from fovea.images.passed_over import PassedOver
from fovea.stores.folder import Entry
from fovea.stores.storage import LocalFolder, open_folder
from scorer.files.manifest import PlannedImage, RowPlace, read_manifest
from scorer.files.plan import Plan, read_plan
from scorer.planning.content import NOT_GIVEN, images_by_content
from scorer.planning.keys import LOST_AFTER_LOOKUPS
from scorer.planning.planner import make_plan
from scorer.run import score
from tests import tiny
from tests.scorer.runs import planned, settings_for

PlanIt = Callable[..., Plan]


@pytest.fixture
def plan_it(photos: Path, tiny_models: Path, output: Path) -> PlanIt:
    """Plans night-1 over the photos; takes more flags."""
    return lambda *more: planned(settings_for(photos, tiny_models, output, *more))


def planned_keys(plan: Plan, output: Path) -> list[list[str]]:
    folder = open_folder(str(output))
    return [[image.entry.key for image in read_manifest(folder, shard.manifest)] for shard in plan.shards]


def test_shards_are_ranges_of_the_sorted_keys(plan_it: PlanIt, photos: Path, output: Path) -> None:
    plan = plan_it("--shard-images", "5")
    names = sorted(path.name for path in photos.iterdir())
    assert planned_keys(plan, output) == [names[:5], names[5:10], names[10:]]
    assert [shard.images for shard in plan.shards] == [5, 5, 2]
    assert plan.images == 12


def test_a_last_shard_that_is_just_full_is_followed_by_none(plan_it: PlanIt) -> None:
    assert [shard.images for shard in plan_it("--shard-images", "6").shards] == [6, 6]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ((), "nothing is below {folder}"),
        (("notes.txt",), "none of what is below {folder} is an image by --include or first bytes"),
    ],
)
def test_nothing_to_score_says_why(
    files: tuple[str, ...],
    why: str,
    tiny_models: Path,
    output: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    planned(settings_for(folder, tiny_models, output))
    assert caplog.messages[-1] == f"nothing to score: {why.format(folder=folder)}"


def test_an_empty_folder_has_one_empty_shard(tiny_models: Path, output: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    plan = planned(settings_for(tmp_path / "empty", tiny_models, output))
    assert [shard.images for shard in plan.shards] == [0]


def test_files_that_are_no_images_by_their_names_are_not_planned(
    plan_it: PlanIt, photos: Path, output: Path
) -> None:
    for name in ("README.txt", ".DS_Store", "labels.csv", "PHOTO.JPG", "old.jpe", "web.jfif"):
        (photos / name).write_bytes(b"")
    plan = plan_it()
    ((keys),) = planned_keys(plan, output)
    assert len(keys) == 15
    assert {"PHOTO.JPG", "old.jpe", "web.jfif"} < set(keys)
    assert plan.left_out == 3


def test_a_file_without_an_ending_is_planned_if_it_begins_as_an_image(
    plan_it: PlanIt, photos: Path, output: Path
) -> None:
    (photos / "000.png").rename(photos / "IMG_0001")
    (photos / "deep").mkdir()
    (photos / "001.jpeg").rename(photos / "deep" / "scan.of last week, unnamed")
    (photos / "LICENSE").write_text("Do as you like.")
    (photos / "README").write_bytes(tiny.picture("red")[:3])
    (photos / "empty").touch()
    plan = plan_it()
    ((keys),) = planned_keys(plan, output)
    assert {"IMG_0001", "deep/scan.of last week, unnamed"} < set(keys)
    assert len(keys) == 12
    kinds = {name: list(kind.names) for name, kind in plan.left_out_kinds.items()}
    assert kinds == {"without an ending": ["LICENSE", "README"], "hidden or system files": ["empty"]}
    assert plan_it("--include", "*.png", "--run-id", "named").left_out_kinds["without an ending"].files == 4
    assert plan_it("--exclude", "IMG_*", "--run-id", "less").images == 11


def test_what_cannot_be_looked_into_stays_and_a_store_that_is_gone_ends_the_plan(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(LocalFolder):
        def beginning(self, key: str, size_bytes: int) -> bytes:
            if key.startswith("archived"):
                raise ObjectUnreadable(f"{key}: it is archived")
            if key.startswith("lost"):
                raise Unavailable(f"{key}: no answer")
            return super().beginning(key, size_bytes)

    (photos / "LICENSE").write_text("Do as you like.")
    there = [LocalFolder(photos).stat("LICENSE")]
    lost = [replace(there[0], key=f"lost-{number:03}") for number in range(LOST_AFTER_LOOKUPS)]
    left_out = PassedOver()
    images = [PlannedImage(entry) for entry in (*lost[:-1], *there, replace(there[0], key="archived"))]
    images.append(
        PlannedImage(replace(there[0], key="carried"), RowPlace("data/shard-00000.parquet", 0))
    )  # was read before
    images_there = list(images_by_content(images, Failing(photos), left_out))
    assert [image.entry.key for image in images_there] == [*(entry.key for entry in lost[:-1]), "carried"]
    assert "could not be looked into, and taken for images: 99, the last: lost-098" in caplog.text
    assert left_out.record() == {
        "without an ending": {"files": 1, "names": ["LICENSE"]},
        NOT_GIVEN: {"files": 1, "names": ["archived"]},
    }
    in_turns = [PlannedImage(entry) for entry in (*lost[:-1], *there, *lost[:-1])]
    assert len(list(images_by_content(in_turns, Failing(photos), PassedOver()))) == len(in_turns) - 1
    with pytest.raises(Unavailable, match="lost-099: no answer"):
        list(images_by_content([*in_turns, PlannedImage(lost[-1])], Failing(photos), PassedOver()))
    named = [PlannedImage(replace(there[0], key=f"{number}.png")) for number in range(2000)]
    apart = [*map(PlannedImage, lost[:60]), *named, *map(PlannedImage, lost[60:])]
    with pytest.raises(Unavailable, match="lost-099: no answer"):
        list(images_by_content(apart, Failing(photos), left_out))
    with pytest.raises(Unavailable, match="lost-099: no answer"):
        list(images_by_content(map(PlannedImage, lost), Failing(photos), left_out))


def test_what_systems_leave_beside_images_is_planned_only_where_a_glob_names_it(
    plan_it: PlanIt, photos: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a Mac's archive, a Synology and a console leave it."""
    caplog.set_level("INFO")
    names = ("._000.png", "__MACOSX/._000.png", "@eaDir/000.png/SYNOPHOTO_THUMB_M.jpg", ".thumbs/000.jpg")
    for name in (*names, "Thumbs.db", "marker"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(b"")
    plan = plan_it()
    assert (plan.images, plan.left_out) == (12, 6)
    assert list(plan.left_out_kinds) == ["hidden or system files"]
    assert [r.levelname for r in caplog.records if "files left out" in r.getMessage()] == ["INFO"]
    plan = plan_it("--include", "*.png,.thumbs/*.jpg", "--run-id", "named")
    keys = set(itertools.chain.from_iterable(planned_keys(plan, output)))
    assert {key for key in keys if key in names} == {".thumbs/000.jpg"}


def test_what_exclude_names_is_not_counted_as_left_out(plan_it: PlanIt) -> None:
    plan = plan_it("--include", "*.png,*.jpeg", "--exclude", "000.*")
    assert (plan.images, plan.left_out) == (5, 6)


def test_globs_choose_the_keys_at_any_depth(plan_it: PlanIt, photos: Path, output: Path) -> None:
    tiny.fill_folder(photos / "thumbs", 4)
    tiny.fill_folder(photos / "deep" / "er", 4)
    ((keys),) = planned_keys(plan_it("--include", "*.png,*.bmp", "--exclude", "thumbs/*"), output)
    assert keys == [
        *("000.png", "003.bmp", "004.png", "007.bmp", "008.png", "011.bmp"),
        *("deep/er/000.png", "deep/er/003.bmp"),
    ]


def test_the_manifest_has_what_the_listing_said(plan_it: PlanIt, photos: Path, output: Path) -> None:
    plan = plan_it()
    folder = open_folder(str(output))
    planned_entries = [image.entry for image in read_manifest(folder, plan.shards[0].manifest)]
    listed = list(open_folder(str(photos)).entries())
    assert [(e.key, e.size, e.etag) for e in planned_entries] == [(e.key, e.size, e.etag) for e in listed]


def test_of_two_planners_the_first_ones_plan_holds(
    plan_it: PlanIt, photos: Path, tiny_models: Path, output: Path
) -> None:
    first = plan_it()
    (photos / "new.png").write_bytes(tiny.picture("red"))
    settings = settings_for(photos, tiny_models, output, "--shard-images", "3")
    second = make_plan(settings, open_folder(str(output)), first.spec, open_folder(str(photos)))
    assert second == first
    assert planned_keys(second, output) == planned_keys(first, output)
    another = first.spec.model_copy(update={"top_k": 2})
    with pytest.raises(SettingsInvalid, match="planned with --top-k 5, not 2"):
        make_plan(settings, open_folder(str(output)), another, open_folder(str(photos)))


def test_of_two_planners_at_once_one_plan_holds_and_all_its_manifests(
    plan_it: PlanIt, photos: Path, tiny_models: Path, output: Path
) -> None:
    both_are_listing = threading.Barrier(2, timeout=30)
    settings = settings_for(photos, tiny_models, output, "--shard-images", "5")
    spec = plan_it().spec.model_copy(update={"run": "both"})
    plans: list[Plan] = []

    class Slow(LocalFolder):
        def entries(self) -> Iterator[Entry]:
            both_are_listing.wait()
            return super().entries()

    def plan() -> None:
        plans.append(make_plan(settings, open_folder(str(output)), spec, Slow(photos)))

    planners = [threading.Thread(target=plan) for _ in range(2)]
    for planner in planners:
        planner.start()
    for planner in planners:
        planner.join()
    assert plans[0] == plans[1]
    keys = itertools.chain.from_iterable(planned_keys(plans[0], output))
    assert list(keys) == sorted(path.name for path in photos.iterdir())


def test_shards_are_bounded_by_the_bytes_to_fetch(plan_it: PlanIt, photos: Path) -> None:
    sizes = [path.stat().st_size for path in sorted(photos.iterdir())]
    plan = plan_it("--shard-bytes", str(max(sizes)), "--max-image-bytes", str(sorted(sizes)[-2]))
    first = itertools.takewhile(lambda total: total <= max(sizes), itertools.accumulate(sizes))
    assert plan.shards[0].images == len(list(first))
    assert all(shard.fetch_bytes <= max(sizes) for shard in plan.shards)
    assert sum(shard.fetch_bytes for shard in plan.shards) == sum(sizes) - max(sizes)
    assert sum(shard.size_bytes for shard in plan.shards) == sum(sizes)


def test_an_image_larger_than_a_shard_comes_alone(plan_it: PlanIt) -> None:
    assert [shard.images for shard in plan_it("--shard-bytes", "1").shards] == [1] * 12


def test_carried_images_do_not_count_as_bytes(photos: Path, tiny_models: Path, output: Path) -> None:
    score(settings_for(photos, tiny_models, output))
    (photos / "new.png").write_bytes(tiny.picture("red"))
    plan = planned(settings_for(photos, tiny_models, output, "--shard-bytes", "1", run="night-2"))
    assert [(shard.images, shard.carried) for shard in plan.shards] == [(13, 12)]
    assert plan.shards[0].fetch_bytes == (photos / "new.png").stat().st_size


def test_a_plan_is_not_made_twice(plan_it: PlanIt, photos: Path) -> None:
    first = plan_it()
    (photos / "new.png").write_bytes(tiny.picture("red"))
    assert plan_it() == first


def test_the_same_run_with_another_option_that_changes_rows_is_refused(plan_it: PlanIt) -> None:
    plan_it()
    with pytest.raises(SettingsInvalid, match=r"planned with --top-k 5, not 2; take another --run-id"):
        plan_it("--top-k", "2")


def test_the_same_run_with_another_source_is_refused(
    plan_it: PlanIt, tiny_models: Path, output: Path, tmp_path: Path
) -> None:
    plan_it()
    with pytest.raises(SettingsInvalid, match="planned with SOURCE"):
        planned(settings_for(tmp_path, tiny_models, output))


def test_a_model_published_since_does_not_change_a_run_that_is_planned(
    photos: Path, output: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models" / "tiny"
    tiny.publish_bundle(models, tmp_path / "one")
    first = planned(settings_for(photos, models, output))
    tiny.publish_bundle(models, tmp_path / "two", gain=4.0)
    assert planned(settings_for(photos, models, output)) == first
    assert planned(settings_for(photos, models, output, run="night-2")).spec.model_version == 2
    with pytest.raises(SettingsInvalid, match="planned with --model-version 1, not 2"):
        planned(settings_for(photos, models, output, "--model-version", "2"))


def test_a_source_that_does_not_exist_leaves_nothing_behind(
    tiny_models: Path, output: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataInvalid, match="nowhere: there is no such folder"):
        planned(settings_for(tmp_path / "nowhere", tiny_models, output))
    assert not output.exists()


def test_a_damaged_plan_is_named(output: Path) -> None:
    folder = open_folder(str(output))
    folder.write("plan/night-1/plan.json", b'{"format": 2}')
    with pytest.raises(DataInvalid, match=r"plan/night-1/plan\.json: not a plan: format"):
        read_plan(folder, "night-1")
