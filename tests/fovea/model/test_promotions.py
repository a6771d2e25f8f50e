"""Which version is the latest where somebody has said so."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fovea.errors import BundleInvalid
from fovea.model import promotions, versions
from fovea.model.bundle import ModelBundle
from fovea.model.promotions import How, Overtaken, move, promotion_of
from fovea.stores.storage import Folder, open_folder
from tests import tiny
from tests.buckets import Bucket


@pytest.fixture(params=["local", "bucket"])
def models(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A models folder with three whole versions, as far as a look goes."""
    if request.param == "local":
        folder = open_folder(str(tmp_path / "pets"))
    else:
        bucket: Bucket = request.getfixturevalue("bucket")
        folder = open_folder(f"{bucket.uri}/models/pets")
    for version in (1, 2, 3):
        folder.write(f"{version}/bundle.json", b"{}")
    return folder


@pytest.fixture
def staged(tmp_path: Path) -> ModelBundle:
    return tiny.stage_bundle(tmp_path / "staged")


def say(models: Folder, version: int, how: How = "promote") -> None:
    seen = versions.look(models)
    move(models, seen.standing, promotion_of(version, seen.order, how, "a test"))


def test_without_a_record_the_highest_is_the_latest(models: Folder) -> None:
    seen = versions.look(models)
    assert (versions.latest(models), seen.order, seen.standing.promotion) == (3, (3, 2, 1), None)


def test_the_highest_record_says_which_one_is_the_latest(models: Folder) -> None:
    for version, latest in ((2, (2, 3, 1)), (1, (1, 2, 3)), (3, (3, 1, 2))):
        say(models, version)
        assert versions.look(models).order == latest
        assert versions.latest(models) == version
    assert versions.look(models).standing.number == 3


def test_what_was_rolled_back_is_no_ones_substitute(models: Folder) -> None:
    say(models, 2, "rollback")
    assert versions.look(models).order == (2, 1)
    assert versions.look(models).before(3) == (2, 1)
    assert versions.look(models).before(1) == (2,)
    say(models, 1, "rollback")
    assert versions.look(models).order == (1,)


def test_an_older_publisher_does_not_undo_a_rollback(models: Folder) -> None:
    say(models, 2, "rollback")
    models.write("4/bundle.json", b"{}")  # as a build does that knows no records
    assert versions.latest(models) == 2
    assert versions.published(models) == [1, 2, 3, 4]


def test_who_publishes_makes_it_the_latest_by_a_record_where_there_are_some(
    models: Folder, staged: ModelBundle
) -> None:
    assert versions.publish(staged, models.uri).contract.version == 4
    assert promotions.FOLDER not in models.children()
    say(models, 2, "rollback")
    assert versions.publish(staged, models.uri).contract.version == 5
    standing = versions.look(models).standing
    assert standing.promotion is not None
    assert (standing.number, standing.promotion.version, standing.promotion.how) == (2, 5, "publish")
    assert standing.promotion.earlier == (2, 1)
    versions.publish(staged, models.uri, promotes=False)
    assert versions.latest(models) == 5


def test_what_is_published_without_becoming_the_latest_does_not_become_it_by_its_number(
    models: Folder, staged: ModelBundle
) -> None:
    assert versions.publish(staged, models.uri, promotes=False).contract.version == 4
    assert versions.look(models).order == (3, 2, 1)
    assert versions.latest(models) == 3


def test_the_number_of_a_version_that_a_record_names_is_not_used_again(
    models: Folder, staged: ModelBundle
) -> None:
    say(models, 3)
    models.remove("3/bundle.json")
    if models.uri.startswith("/"):
        Path(models.uri, "3").rmdir()
    assert versions.latest(models) == 2
    assert versions.publish(staged, models.uri, promotes=False).contract.version == 4
    assert versions.latest(models) == 2


def test_a_latest_that_is_gone_gives_way_to_the_one_before(models: Folder) -> None:
    say(models, 9)
    assert versions.latest(models) == 3


def test_of_two_who_move_it_at_once_one_does_and_the_other_is_told(models: Folder) -> None:
    seen = versions.look(models)

    def one(version: int) -> str:
        try:
            move(models, seen.standing, promotion_of(version, seen.order, "promote", "", f"nr {version}"))
        except Overtaken as error:
            return str(error)
        return "moved"

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(one, (1, 2)))
    winner = versions.latest(models)
    assert winner in (1, 2)
    assert told[winner - 1] == "moved"
    assert told[2 - winner].endswith(
        f"latest was moved meanwhile, to version {winner}, by nr {winner}; look at it and try again"
    )


def test_publishers_at_once_all_get_their_record(models: Folder, staged: ModelBundle) -> None:
    say(models, 2)
    with ThreadPoolExecutor(4) as pool:
        published = pool.map(lambda _: versions.publish(staged, models.uri), "abcd")
        numbers = [bundle.contract.version for bundle in published]
    seen = versions.look(models)
    assert seen.standing.number == 5
    assert set(seen.order[:4]) == set(numbers) == {4, 5, 6, 7}


def test_a_known_record_is_not_read_again(models: Folder) -> None:
    say(models, 2)
    known = versions.look(models).standing
    models.write("promotions/000001.json", b"damaged")
    assert versions.look(models, known=known).standing == known
    with pytest.raises(BundleInvalid, match=r"promotions/000001\.json: not the record of a promotion"):
        versions.look(models)


def test_a_record_names_who_when_and_why_and_may_hold_more(models: Folder) -> None:
    say(models, 2)
    record = json.loads(models.read("promotions/000001.json"))
    assert (record["version"], record["how"], record["why"]) == (2, "promote", "a test")
    assert "@" in record["who"]
    assert record["created"].endswith("Z")
    models.write("promotions/000001.json", json.dumps({**record, "newer": 1}).encode())
    assert versions.latest(models) == 2


def test_a_candidate_is_no_version_of_anything(models: Folder, staged: ModelBundle) -> None:
    first, second = (versions.put_candidate(staged, models.uri) for _ in range(2))
    assert first != second
    assert first.startswith(f"{models.uri}/candidates/")
    assert versions.published(models) == [1, 2, 3]
    assert versions.listed(models.folder("candidates")) == ()  # nor below a --model-root that is one too low
    contract = versions.open_bundle(first).contract
    assert (contract.version, contract.name) == (0, "pets")
