"""A version beside the current one, by the watcher alone."""

import asyncio
import logging
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fovea.model import versions
from fovea.model.promotions import move, promotion_of
from fovea.model.rollouts import Rollout, begin, held
from fovea.model.versions import look, publish
from fovea.stores.storage import Folder, open_folder
from server.compute.backend import WorkItem
from server.errors import ComputeFailed, VersionNotLoaded
from server.models.served_model import ServedModel
from server.rollout import guard
from server.rollout.guard import Guard, Removal
from tests import tiny
from tests.server import spoiled
from tests.server.event_loop import in_event_loop, until
from tests.server.watched import Watched, watching


def publish_beside(watched: Watched, work: Path) -> None:
    """A version that is not the latest."""
    publish(tiny.stage_bundle(work / "beside", gain=5), watched.folder, promotes=False)


def try_out(folder: str, version: int, percent: float) -> None:
    models = open_folder(folder)
    number = look(models).standing.number
    record = Rollout(
        version=version, percent=percent, latest=number, who="ann", why="", created=datetime.now(UTC)
    )
    begin(models, held(models), record)


def promote(folder: str, version: int) -> None:
    models = open_folder(folder)
    seen = look(models)
    move(models, seen.standing, promotion_of(version, seen.order, "promote", "it is good"))


def answering(watched: Watched, key: str) -> ServedModel:
    with watched.models.choice.use(0, key=lambda: key) as model:
        return model


async def look_at_both(watched: Watched) -> None:
    await watched.watcher.look()
    await watched.watcher.look_at_second()


def percent(watched: Watched) -> float | None:
    return watched.metrics.registry.get_sample_value("fovea_canary_percent")


@in_event_loop
async def test_canary_grows_by_records_is_taken_out_by_its_guard_and_not_loaded_twice_to_be_promoted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LOOK_EVERY_S", 0.01)
    caplog.set_level(logging.INFO)
    async with watching(tmp_path / "models", tmp_path) as watched:
        watched.publish()
        publish_beside(watched, tmp_path)
        await watched.load_first()
        choice = watched.models.choice
        await look_at_both(watched)
        assert choice.versions() == (1,)

        try_out(watched.folder, 2, 40)
        await look_at_both(watched)
        second = choice.choose(2)
        assert (choice.versions(), percent(watched)) == ((1, 2), 40)
        assert second.batcher.waits_for_workers
        keys = [f"caller-{number}" for number in range(100)]
        assert 20 < sum(answering(watched, key) is second for key in keys) < 60
        assert choice.choose(0) is not second, "what is no call to be answered is the current one's"
        await second.classify(WorkItem(tiny.picture("red")), None)
        counted = {"version": "2"}
        assert watched.metrics.registry.get_sample_value("fovea_rollout_answers_total", counted) == 1

        try_out(watched.folder, 2, 90)
        await look_at_both(watched)
        assert (choice.choose(2), percent(watched)) == (second, 90)

        def is_out() -> bool:
            second.failed(ComputeFailed())
            if measured := choice.choose(0).measured:
                measured.answered(0, False, 1, 0.0, 0.0, 0.01)
            return choice.versions() == (1,)

        await until(is_out)
        assert percent(watched) == 0
        removed = {"reason": "errors"}
        assert watched.metrics.registry.get_sample_value("fovea_canary_removed_total", removed) == 1
        (line,) = [record for record in caplog.records if "taken out" in record.message]
        assert vars(line)["reason"] == "errors"
        await look_at_both(watched)
        assert choice.versions() == (1,), "it stays out"

        try_out(watched.folder, 2, 10)
        await look_at_both(watched)
        again = choice.choose(2)
        promote(watched.folder, 2)
        await look_at_both(watched)
        assert choice.choose(0) is again
        assert (choice.versions(), percent(watched), again.measured) == ((2,), 0, None)
        assert not again.batcher.waits_for_workers
        promote(watched.folder, 1)
        await look_at_both(watched)
        assert choice.versions() == (1,), "its rollout has ended, though the record still names it"


@in_event_loop
async def test_what_the_guard_saw_of_a_rollout_ends_no_later_one_that_a_look_has_just_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LOOK_EVERY_S", 0.01)
    looks, may_go_on = threading.Event(), threading.Event()
    real = versions.is_published

    def is_published(folder: Folder, version: int) -> bool:
        looks.set()
        may_go_on.wait(10)
        return real(folder, version)

    async with watching(tmp_path / "models", tmp_path) as watched:
        watched.publish()
        publish_beside(watched, tmp_path)
        await watched.load_first()
        try_out(watched.folder, 2, 40)
        await look_at_both(watched)
        try_out(watched.folder, 2, 90)
        with monkeypatch.context() as patch:
            patch.setattr(versions, "is_published", is_published)
            look = asyncio.create_task(watched.watcher.look_at_second())
            await until(looks.is_set)
            patch.setattr(Guard, "look", lambda self: Removal("errors", 1, 0, 0.01, 20, 100))
            await until(lambda: watched.models.choice.versions() == (1,))
        may_go_on.set()
        await look
        assert (watched.models.choice.versions(), percent(watched)) == ((1, 2), 90)


@in_event_loop
async def test_canary_leaves_before_a_version_is_live_beside_which_it_cannot_be_and_is_back_with_the_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(tmp_path / "models", tmp_path) as watched:
        watched.publish()
        publish_beside(watched, tmp_path)
        await watched.load_first()
        try_out(watched.folder, 2, 100)
        await look_at_both(watched)
        choice = watched.models.choice
        assert choice.versions() == (1, 2)
        publish(tiny.stage_bundle(tmp_path / "embeds", embeds=True), watched.folder)
        with choice.use(1):
            look = asyncio.create_task(look_at_both(watched))
            await until(lambda: watched.version == 3)
            assert choice.versions() == (3,), "though the old one has calls still, and is not closed"
        await look
        for _ in range(2):
            await look_at_both(watched)
            assert (choice.versions(), watched.reloads("refused"), percent(watched)) == ((3,), 1, 0)
        assert "and embeddings, which the current version has" in vars(caplog.records[-1])["reason"]
        promote(watched.folder, 1)
        await look_at_both(watched)
        assert (choice.versions(), percent(watched)) == ((1, 2), 100)
        promote(watched.folder, 3)
        await look_at_both(watched)
        assert choice.versions() == (3,)


@in_event_loop
async def test_second_version_that_is_bad_or_gone_costs_the_current_one_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    flags = ("--model-version", "1", "--canary", "2")
    async with watching(tmp_path / "models", tmp_path, *flags) as watched:
        publish(tiny.stage_bundle(tmp_path / "first", embeds=True), watched.folder)
        await watched.load_first()
        watched.publish(spoiled.change_a_byte)
        for _ in range(2):
            await watched.watcher.look_at_second()
        assert watched.reloads("refused") == 1
        (refusal,) = [r for r in caplog.records if r.message == "the second version is refused"]
        assert "model.onnx" in vars(refusal)["reason"]

        shutil.rmtree(tmp_path / "models" / "2")
        publish(tiny.stage_bundle(tmp_path / "good", embeds=True), watched.folder)
        await watched.watcher.look_at_second()
        assert watched.models.choice.versions() == (1, 2)
        shutil.rmtree(tmp_path / "models" / "2")
        await watched.watcher.look_at_second()
        with pytest.raises(VersionNotLoaded, match=r"\(loaded: 1\)"):
            watched.models.choice.choose(2)
        assert watched.version == 1
        assert "there is no version 2" in vars(caplog.records[-1])["reason"]
        watched.publish()
        await watched.watcher.look_at_second()
        assert watched.models.choice.versions() == (1,)
        assert "it was released without distances" in vars(caplog.records[-1])["reason"]
