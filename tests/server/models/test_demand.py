"""Looks for a newer version that callers ask for, with a watcher in this process."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from shutil import rmtree
from unittest.mock import patch

import pytest

from server.errors import FolderUnreachable, NoModelReady, VersionRefused
from server.models import demand
from server.models.following import VersionSearch
from tests.server import spoiled
from tests.server.event_loop import in_event_loop, until
from tests.server.watched import Watched, watching

Following = tuple[Watched, list[float], asyncio.Task[None]]


@asynccontextmanager
async def following(tmp_path: Path, *flags: str) -> AsyncIterator[Following]:
    """A watcher that looks by itself only once an hour, when it looked, and the task in which it does."""
    looks: list[float] = []
    next_one = VersionSearch.next

    def counted(self: VersionSearch, current: int, tried: set[int]) -> object:
        if not tried:
            looks.append(time.monotonic())
        return next_one(self, current, tried)

    with patch.object(VersionSearch, "next", counted):
        async with watching(tmp_path / "models", tmp_path, "--watch-interval-s", "3600", *flags) as watched:
            watched.publish()
            await watched.load_first()
            looks.clear()
            task = asyncio.create_task(watched.watcher.follow())
            yield watched, looks, task
            task.cancel()


@in_event_loop
async def test_a_newer_version_serves_when_the_look_is_over(tmp_path: Path) -> None:
    async with following(tmp_path) as (watched, _, _):
        watched.publish()
        await watched.watcher.look_on_demand()
        assert watched.version == 2


@in_event_loop
async def test_a_watcher_that_often_looks_by_itself_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with following(tmp_path, "--watch-interval-s", "0.1") as (watched, looks, _):
        await until(lambda: len(looks) > 1)
        async with asyncio.timeout(10):
            await watched.watcher.look_on_demand()


@in_event_loop
async def test_nothing_newer_is_no_failure(tmp_path: Path) -> None:
    async with following(tmp_path) as (watched, looks, _):
        await watched.watcher.look_on_demand()
        assert (watched.version, len(looks)) == (1, 1)


@in_event_loop
async def test_many_who_ask_share_a_look(tmp_path: Path) -> None:
    async with following(tmp_path) as (watched, looks, _):
        watched.publish()
        await asyncio.gather(*(watched.watcher.look_on_demand() for _ in range(100)))
        assert (watched.version, len(looks)) == (2, 1)


@in_event_loop
async def test_one_who_asks_again_and_again_has_one_look_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "EVERY_S", 0.3)
    async with following(tmp_path) as (watched, looks, _):
        for _ in range(3):
            await watched.watcher.look_on_demand()
    assert len(looks) == 3
    assert min(later - earlier for earlier, later in pairwise(looks)) > 0.2


@in_event_loop
async def test_one_who_asks_during_a_look_hears_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "EVERY_S", 0.0)
    async with following(tmp_path) as (watched, looks, _):
        watched.publish()
        first = asyncio.create_task(watched.watcher.look_on_demand())
        await until(lambda: len(looks) == 1)
        watched.publish()
        await watched.watcher.look_on_demand()
        assert first.done()
        assert watched.version == 3


@in_event_loop
async def test_a_bad_version_is_told_with_its_reason_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "EVERY_S", 0.0)
    async with following(tmp_path) as (watched, _, _):
        watched.publish(spoiled.corrupt_the_model)
        for _ in range(3):
            with pytest.raises(VersionRefused, match=r"^version 2 is refused: .*model\.onnx"):
                await watched.watcher.look_on_demand()
        assert (watched.version, watched.reloads("refused")) == (1, 1)
        assert list(watched.watcher.refused()) == [2]


@in_event_loop
async def test_a_bad_version_that_was_deleted_is_not_told_of_any_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "EVERY_S", 0.0)
    async with following(tmp_path) as (watched, _, _):
        watched.publish(spoiled.corrupt_the_model)
        with pytest.raises(VersionRefused):
            await watched.watcher.look_on_demand()
        rmtree(tmp_path / "models" / "2")
        await watched.watcher.look_on_demand()
        assert watched.watcher.refused() == {}


@in_event_loop
async def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    async with following(tmp_path) as (watched, _, _):
        rmtree(tmp_path / "models")
        with pytest.raises(FolderUnreachable):
            await watched.watcher.look_on_demand()
        assert watched.version == 1


@in_event_loop
async def test_a_pinned_version_is_the_newest_there_is(tmp_path: Path) -> None:
    async with following(tmp_path, "--model-version", "1") as (watched, looks, _):
        watched.publish()
        await watched.watcher.look_on_demand()
        assert (watched.version, looks) == (1, [])


@in_event_loop
async def test_while_nothing_is_published_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "EVERY_S", 0.0)
    flags = ("--wait-for-model", "--watch-interval-s", "3600")
    async with watching(tmp_path / "models", tmp_path, *flags) as watched:
        waiting = asyncio.create_task(watched.load_first())
        with pytest.raises(NoModelReady, match="no version is published yet"):
            await watched.watcher.look_on_demand()
        watched.publish()
        await watched.watcher.look_on_demand()
        assert watched.version == 1
        await waiting


@in_event_loop
async def test_a_look_that_is_given_up_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with following(tmp_path) as (watched, looks, task):
        watched.publish()
        asking = asyncio.create_task(watched.watcher.look_on_demand())
        await until(lambda: len(looks) == 1)
        task.cancel()
        await asking
