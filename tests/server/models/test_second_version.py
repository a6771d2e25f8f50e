"""A version beside the current one, by the watcher alone."""

import logging
import shutil
from pathlib import Path

import pytest

from fovea.model.promotions import move, promotion_of
from fovea.model.versions import look, publish
from fovea.stores.storage import open_folder
from server.errors import VersionNotLoaded
from tests import tiny
from tests.server import spoiled
from tests.server.event_loop import in_event_loop
from tests.server.watched import Watched, watching


def publish_beside(watched: Watched, work: Path) -> None:
    """A version that is not the latest."""
    publish(tiny.stage_bundle(work / "beside", gain=5), watched.folder, promotes=False)


def promote(folder: str, version: int) -> None:
    models = open_folder(folder)
    seen = look(models)
    move(models, seen.standing, promotion_of(version, seen.order, "promote", "it is good"))


@in_event_loop
async def test_second_version_answers_who_names_it_and_is_not_loaded_twice_when_it_is_promoted(
    tmp_path: Path,
) -> None:
    async with watching(tmp_path / "models", tmp_path, "--canary", "2") as watched:
        watched.publish()
        publish_beside(watched, tmp_path)
        await watched.load_first()
        choice = watched.models.choice
        assert choice.versions() == (1,)
        await watched.watcher.look_at_second()
        second = choice.choose(2)
        assert choice.versions() == (1, 2)
        assert choice.choose(0).contract.version == 1

        promote(watched.folder, 2)
        await watched.watcher.look()
        await watched.watcher.look_at_second()
        assert choice.choose(0) is second
        assert choice.versions() == (2,)
        promote(watched.folder, 1)
        await watched.watcher.look()
        await watched.watcher.look_at_second()
        assert choice.versions() == (1,), "its rollout has ended, though the option still names it"


@in_event_loop
async def test_second_version_that_is_bad_or_gone_costs_the_current_one_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    flags = ("--model-version", "1", "--canary", "2")
    async with watching(tmp_path / "models", tmp_path, *flags) as watched:
        watched.publish()
        await watched.load_first()
        watched.publish(spoiled.change_a_byte)
        for _ in range(2):
            await watched.watcher.look_at_second()
        assert watched.reloads("refused") == 1
        (refusal,) = [r for r in caplog.records if r.message == "the second version is refused"]
        assert "model.onnx" in vars(refusal)["reason"]

        shutil.rmtree(tmp_path / "models" / "2")
        watched.publish()
        await watched.watcher.look_at_second()
        assert watched.models.choice.versions() == (1, 2)
        shutil.rmtree(tmp_path / "models" / "2")
        await watched.watcher.look_at_second()
        with pytest.raises(VersionNotLoaded, match=r"\(loaded: 1\)"):
            watched.models.choice.choose(2)
        assert watched.version == 1
        assert "there is no version 2" in vars(caplog.records[-1])["reason"]
