"""The version that answers a second time, by the watcher alone."""

import logging
import os
import shutil
from pathlib import Path

import pytest

from fovea.model import versions
from server.compute.backend import WorkItem
from server.compute.process_worker import ProcessWorker
from server.errors import VersionNotLoaded
from server.models.shadow_following import ShadowFollowing
from server.rollout import guard
from server.rollout.shadow_version import ShadowVersion
from tests import tiny
from tests.server import spoiled
from tests.server.event_loop import in_event_loop, until
from tests.server.models.test_second_version import look_at_both, promote, publish_beside, try_out
from tests.server.watched import Watched, watching

ALL = ("--shadow", "2", "--shadow-percent", "100")


def following_of(watched: Watched) -> ShadowFollowing:
    following = watched.watcher._shadow
    assert following is not None
    return following


def shadow_of(watched: Watched) -> ShadowVersion | None:
    return following_of(watched).second


def count(watched: Watched, outcome: str) -> float:
    return watched.metrics.registry.get_sample_value("fovea_shadow_total", {"outcome": outcome}) or 0


def policies(pid: int) -> set[int]:
    """Of the process's threads."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return {os.sched_getscheduler(int(thread.name)) for thread in threads}


@in_event_loop
async def test_a_shadow_answers_images_and_nobody_until_it_is_promoted(tmp_path: Path) -> None:
    async with watching(tmp_path / "models", tmp_path, *ALL) as watched:
        watched.publish()
        publish_beside(watched, tmp_path)
        await watched.load_first()
        await watched.watcher.look_at_second()
        shadow = shadow_of(watched)
        assert shadow is not None
        (worker,) = shadow.batcher.workers
        assert isinstance(worker, ProcessWorker)
        assert worker.pid is not None
        if hasattr(os, "SCHED_IDLE"):
            assert policies(worker.pid) == {os.SCHED_IDLE}, "it has a core only while nothing else wants it"
        with pytest.raises(VersionNotLoaded, match=r"\(loaded: 1\)"):
            watched.models.choice.choose(2)

        current = watched.models.choice.choose(0)
        waits = current.batcher.put(WorkItem(tiny.picture("red")))
        assert not following_of(watched)._is_spare()
        await waits.answer
        assert following_of(watched)._is_spare()
        await current.classify(WorkItem(tiny.picture("red")), None)
        await until(lambda: count(watched, "agree") == 1)

        promote(watched.folder, 2)
        await watched.watcher.look()
        await watched.watcher.look_at_second()
        assert watched.version == 2
        assert shadow_of(watched) is None
        await watched.models.choice.choose(0).classify(WorkItem(tiny.picture("red")), None)
        promote(watched.folder, 1)
        await watched.watcher.look()
        await watched.watcher.look_at_second()
        assert shadow_of(watched) is None, "its time is over, though the option still names it"


@in_event_loop
async def test_files_stay_while_any_version_that_is_loaded_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[int] = []
    monkeypatch.setattr(versions, "drop_cached", lambda bundle, uri: dropped.append(bundle.contract.version))
    monkeypatch.setattr(guard, "LOOK_EVERY_S", 0.01)

    async def take_out(watched: Watched) -> None:
        try_out(watched.folder, 2, 40)
        await look_at_both(watched)
        with monkeypatch.context() as patch:
            patch.setattr(guard.Guard, "look", lambda self: guard.Removal("errors", 1, 0, 0.01, 20, 100))
            await until(lambda: watched.models.choice.versions() == (1,))

    async with watching(tmp_path / "models", tmp_path, *ALL) as watched:
        watched.publish()
        publish_beside(watched, tmp_path)
        await watched.load_first()
        await take_out(watched)
        await look_at_both(watched)
        assert dropped == [], "the shadow has them"
        await take_out(watched)
        promote(watched.folder, 2)
        await look_at_both(watched)
        assert (watched.version, shadow_of(watched)) == (2, None)
        assert dropped == [1], "the current version has them, though canary and shadow have gone"
        promote(watched.folder, 1)
        await look_at_both(watched)
        assert dropped == [1, 2]


@pytest.mark.slow
@in_event_loop
async def test_a_shadow_that_is_bad_or_gone_costs_the_current_version_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with watching(tmp_path / "models", tmp_path, "--model-version", "1", *ALL) as watched:
        watched.publish()
        await watched.load_first()
        watched.publish(spoiled.change_a_byte)
        await watched.watcher.look_at_second()
        assert (shadow_of(watched), watched.reloads("refused")) == (None, 1)
        (refusal,) = [r for r in caplog.records if r.message == "the second version is refused"]
        assert vars(refusal)["as"] == "shadow"

        shutil.rmtree(tmp_path / "models" / "2")
        watched.publish()
        await watched.watcher.look_at_second()
        assert shadow_of(watched) is not None
        shutil.rmtree(tmp_path / "models" / "2")
        await watched.watcher.look_at_second()
        assert shadow_of(watched) is None
        await watched.models.choice.choose(0).classify(WorkItem(tiny.picture("red")), None)
