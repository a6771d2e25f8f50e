from datetime import UTC, datetime
from pathlib import Path

import pytest

from fovea.errors import BundleInvalid
from fovea.model.promotions import How, move, promotion_of
from fovea.model.rollouts import Rollout as Record
from fovea.model.rollouts import begin, held
from fovea.model.versions import look
from fovea.stores.storage import open_folder
from server.rollout.wanted import Rollout, Wanted
from server.rollout_options import RolloutOptions

OPTIONS = RolloutOptions()


def test_records_say_what_is_wanted_until_a_later_promotion_of_it_and_options_go_before_them(
    tmp_path: Path,
) -> None:
    folder = open_folder(str(tmp_path))
    for version in (1, 2, 3):
        (tmp_path / str(version)).mkdir()

    def try_out(version: int, percent: float) -> None:
        facts = {"version": version, "percent": percent, "latest": look(folder).standing.number}
        begin(folder, held(folder), Record(**facts, who="ann", why="", created=datetime.now(UTC)))

    def promote(version: int, how: How = "promote") -> None:
        seen = look(folder)
        move(folder, seen.standing, promotion_of(version, seen.order, how, ""))

    wanted = Wanted(OPTIONS, folder)

    def now() -> Rollout | None:
        return wanted.look(look(folder))

    assert now() is None
    promote(1, "rollback")  # 2 and 3 are no earlier ones
    try_out(2, 5)
    assert now() == Rollout(2, 5, number=1)
    try_out(2, 0)
    assert now() is None
    try_out(3, 10)
    promote(2)
    assert now() == Rollout(3, 10, number=3)
    promote(3)
    promote(2, "rollback")
    read = tmp_path / "promotions" / "000002.json"
    record = read.read_bytes()
    read.write_bytes(b"damaged since")
    assert look(folder).order == (2, 1), "none of `latest`'s any more"
    assert now() is None, "and no promotion is read twice"
    with pytest.raises(BundleInvalid, match=r"000002\.json: not the record of a promotion"):
        Wanted(OPTIONS, folder).look(look(folder))
    read.write_bytes(record)
    assert Wanted(OPTIONS, folder).look(look(folder)) is None, "nor of a server that starts now"
    try_out(1, 10)
    promote(3)
    assert now() == Rollout(1, 10, number=4), "it was the latest, but not since"
    promote(2)
    try_out(3, 20)
    assert now() == Rollout(3, 20, number=5)
    by_option = Wanted(OPTIONS.model_copy(update={"canary": 2, "canary_percent": 7.0}), folder)
    assert by_option.look(look(folder)) == Rollout(2, 7)
