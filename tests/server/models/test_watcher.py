"""The watcher alone, in this process; test_reload_process.py has whole servers."""

import asyncio
import logging
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import BundleInvalid, Unavailable
from fovea.model.bundle import CONTRACT_FILE, ModelBundle, contract_json, seal
from fovea.model.measured import Opinion
from fovea.model.promotions import How, move, promotion_of
from fovea.model.versions import look, publish
from fovea.stores.buckets import BucketFolder
from fovea.stores.storage import open_folder
from server.compute.process_worker import ProcessWorker
from server.compute.start_up import ProcessReady
from server.errors import VersionRefused
from tests import tiny
from tests.buckets import Bucket
from tests.server import spoiled
from tests.server.event_loop import in_event_loop
from tests.server.watched import watching
from tests.servers import compute_processes


@pytest.fixture(params=["local", "bucket"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of a models folder in which nothing is published yet."""
    if request.param == "local":
        return str(tmp_path / "models")
    bucket: Bucket = request.getfixturevalue("bucket")
    return f"{bucket.uri}/models"


@in_event_loop
async def test_newer_version_is_served_after_a_look(anywhere: str, tmp_path: Path) -> None:
    async with watching(anywhere, tmp_path) as watched:
        watched.publish()
        await watched.load_first()
        second = watched.publish()
        assert watched.version == 1
        await watched.watcher.look()
        assert watched.models.choice.choose(2).bundle.digest == second.digest
        assert watched.reloads("swapped") == 1


@in_event_loop
async def test_labels_may_change_with_a_version(tmp_path: Path) -> None:
    async with watching(tmp_path / "models", tmp_path) as watched:
        watched.publish()
        await watched.load_first()
        others = tiny.stage_bundle(tmp_path / "others", labels=("rot", "grün", "blau"))
        publish(others, watched.folder)
        await watched.watcher.look()
        assert watched.models.choice.choose(0).contract.labels == ("rot", "grün", "blau")


@in_event_loop
async def test_version_that_its_report_calls_unfit_is_served_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(tmp_path / "models", tmp_path) as watched:
        staged = tiny.stage_bundle(tmp_path / "unfit")
        unfit = Opinion(word="Not fit to ship", against=("It never finds blue",))
        publish(seal(staged.path, staged.contract.model_copy(update={"verdict": unfit})), watched.folder)
        await watched.load_first()
        (warned,) = [vars(record) for record in caplog.records if "not fit to ship" in record.message]
        assert (warned["version"], warned["against"]) == (1, "It never finds blue")
        watched.publish()  # of a bundle that says nothing
        await watched.watcher.look()
        assert sum("not fit to ship" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("spoil", spoiled.SPOILED, ids=lambda spoil: spoil.__name__)
@in_event_loop
async def test_bad_version_is_refused_once_and_the_old_one_stays(
    spoil: Callable[[ModelBundle], ModelBundle], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(tmp_path / "models", tmp_path) as watched:
        watched.publish()
        await watched.load_first()
        watched.publish(spoil)
        await watched.watcher.look()
        await watched.watcher.look()
        assert watched.version == 1
        assert watched.reloads("refused") == 1
        ((version, reason),) = refusals(caplog)
        assert version == 2
        assert re.search(spoiled.SPOILED[spoil], reason)


@in_event_loop
async def test_refused_version_is_tried_again_when_a_file_of_it_changes(
    anywhere: str, tmp_path: Path
) -> None:
    async with watching(anywhere, tmp_path) as watched:
        watched.publish()
        await watched.load_first()
        bad = watched.publish(spoiled.change_a_byte)
        await watched.watcher.look()
        assert watched.version == 1
        folder = open_folder(anywhere)
        folder.write("2/model.onnx", spoiled.with_another_byte(folder.read("2/model.onnx")))
        await watched.watcher.look()
        assert watched.models.choice.choose(2).bundle.digest == bad.digest


@in_event_loop
async def test_highest_good_version_is_taken_when_there_are_several(tmp_path: Path) -> None:
    async with watching(tmp_path / "models", tmp_path) as watched:
        watched.publish()
        await watched.load_first()
        watched.publish()
        watched.publish()
        watched.publish(spoiled.corrupt_the_model)
        await watched.watcher.look()
        assert watched.version == 3
        assert (watched.reloads("refused"), watched.reloads("swapped")) == (1, 1)


@in_event_loop
async def test_half_written_version_is_passed_over_and_taken_once_it_is_whole(
    anywhere: str, tmp_path: Path
) -> None:
    async with watching(anywhere, tmp_path) as watched:
        watched.publish()
        await watched.load_first()
        staged = tiny.stage_bundle(tmp_path / "staged")
        target = open_folder(anywhere).folder("2")
        for name in staged.contract.files:
            target.write(name, (staged.path / name).read_bytes())
        await watched.watcher.look()
        assert (watched.version, watched.reloads("refused")) == (1, 0)
        target.write(CONTRACT_FILE, contract_json(staged.contract.model_copy(update={"version": 2})))
        await watched.watcher.look()
        assert watched.version == 2


@in_event_loop
async def test_bad_version_gives_way_to_a_lower_good_one_at_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(tmp_path / "models", tmp_path) as watched:
        watched.publish()
        watched.publish(spoiled.change_the_golden_answers)
        await watched.load_first()
        assert watched.version == 1
        assert [reason for _, reason in refusals(caplog)] != []


@in_event_loop
async def test_without_any_good_version_the_start_fails_with_the_reason_of_the_highest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(tmp_path / "models", tmp_path) as watched:
        watched.publish(spoiled.corrupt_the_model)
        watched.publish(spoiled.change_the_golden_answers)
        with pytest.raises(BundleInvalid, match="golden check failed"):
            await watched.load_first()
        assert refusals(caplog) == []  # the error is the one line


@in_event_loop
async def test_waiting_goes_on_past_a_bad_version(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with watching(tmp_path / "models", tmp_path, "--wait-for-model") as watched:
        watched.publish(spoiled.corrupt_the_model)
        waits = asyncio.Event()
        loading = asyncio.create_task(watched.watcher.load_first(waits.set))
        await waits.wait()
        assert [version for version, _ in refusals(caplog)] == [1]
        watched.publish()
        watched.watcher.look_now()
        await loading
        assert watched.version == 2


@in_event_loop
async def test_pinned_version_is_waited_for_and_then_kept(tmp_path: Path) -> None:
    async with watching(tmp_path / "models", tmp_path, "--wait-for-model", "--model-version", "2") as watched:
        watched.publish()
        waits = asyncio.Event()
        loading = asyncio.create_task(watched.watcher.load_first(waits.set))
        await waits.wait()
        watched.publish()
        watched.publish()
        watched.watcher.look_now()
        await loading
        assert watched.version == 2
        await watched.watcher.look()
        assert (watched.version, watched.reloads("swapped")) == (2, 0)


@in_event_loop
async def test_unreachable_bucket_is_logged_once_and_tried_again(
    bucket: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(f"{bucket.uri}/models", tmp_path) as watched:
        watched.publish()
        await watched.load_first()
        bucket.remove()
        await watched.watcher.look()
        await watched.watcher.look()
        assert (watched.version, watched.reloads("failed")) == (1, 2)
        assert [record.message for record in caplog.records].count("cannot look for versions") == 1
        bucket.client.create_bucket(Bucket=bucket.name)
        watched.publish()
        watched.publish()
        await watched.watcher.look()
        assert watched.version == 2


@pytest.mark.parametrize("leaves", ["nothing", "the mount point"])
@in_event_loop
async def test_vanished_folder_is_logged_once_and_served_from_again_when_it_is_back(
    leaves: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    async with watching(folder, tmp_path, "--wait-for-model") as watched:
        waits = asyncio.Event()
        loading = asyncio.create_task(watched.watcher.load_first(waits.set))
        await waits.wait()
        await watched.watcher.look()
        assert watched.reloads("failed") == 0  # it is still to come
        watched.publish()
        watched.watcher.look_now()
        await loading
        folder.rename(elsewhere)
        if leaves == "the mount point":
            folder.mkdir()
        await watched.watcher.look()
        await watched.watcher.look()
        assert (watched.version, watched.reloads("failed")) == (1, 2)
        assert [record.message for record in caplog.records].count("cannot look for versions") == 1
        elsewhere.replace(folder)
        watched.publish()
        await watched.watcher.look()
        assert (watched.version, watched.reloads("failed")) == (2, 2)


@pytest.mark.parametrize("flags", [(), ("--model-version", "2")])
@in_event_loop
async def test_served_version_that_goes_is_told_once_and_again_when_it_is_back(
    flags: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with watching(tmp_path / "models", tmp_path, *flags) as watched:
        watched.publish()
        watched.publish()
        await watched.load_first()
        (tmp_path / "models" / "2").rename(tmp_path / "elsewhere")
        for _ in range(2):
            await watched.watcher.look()
        assert (watched.version, watched.reloads("gone")) == (2, 1)
        assert sum("folder is gone: it is served from memory" in text for text in caplog.messages) == 1
        (tmp_path / "elsewhere").rename(tmp_path / "models" / "2")
        for _ in range(2):
            await watched.watcher.look()
        assert caplog.messages.count("the served version's folder is back") == 1


@in_event_loop
async def test_unreachable_bucket_ends_the_start(bucket: Bucket, tmp_path: Path) -> None:
    bucket.remove()
    async with watching(f"{bucket.uri}/models", tmp_path, "--wait-for-model") as watched:
        with pytest.raises(Unavailable, match="cannot be listed"):
            await watched.load_first()


@in_event_loop
async def test_look_that_finds_nothing_new_costs_one_request(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(f"{bucket.uri}/models", tmp_path) as watched:
        for _ in range(3):
            watched.publish()
        await watched.load_first()
        asked = requests_of(monkeypatch)
        await watched.watcher.look()
        assert asked == {"children": 1}


@in_event_loop
async def test_replaced_version_leaves_the_cache(bucket: Bucket, tmp_path: Path) -> None:
    async with watching(f"{bucket.uri}/models", tmp_path) as watched:
        watched.publish()
        await watched.load_first()
        watched.publish()
        watched.publish(spoiled.change_the_golden_answers)
        await watched.watcher.look()
        assert [path.name[:2] for path in (tmp_path / "cache" / "models").iterdir()] == ["2-"]


@in_event_loop
async def test_replaced_and_refused_models_leave_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opened_workers(monkeypatch)
    async with watching(tmp_path / "models", tmp_path) as watched:
        watched.publish()
        await watched.load_first()
        watched.publish()
        watched.publish(spoiled.change_the_golden_answers)
        await watched.watcher.look()
        assert watched.version == 2
        assert [worker.pid is not None for worker in opened] == [False, False, True]
    assert not compute_processes(os.getpid())


def refusals(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Version and reason of each that the log tells of."""
    logged = [vars(record) for record in caplog.records if record.message == "version is refused"]
    return [(facts["version"], facts["reason"]) for facts in logged]


def requests_of(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each way to ask a bucket is used from here on."""
    asked: Counter[str] = Counter()

    def counted(name: str) -> Any:
        ask = getattr(BucketFolder, name)

        def count_and_ask(*arguments: Any) -> Any:
            asked[name] += 1
            return ask(*arguments)

        return count_and_ask

    for name in ("children", "exists", "entries", "read"):
        monkeypatch.setattr(BucketFolder, name, counted(name))
    return asked


def opened_workers(monkeypatch: pytest.MonkeyPatch) -> list[ProcessWorker]:
    """Fills with every worker that is made from here on."""
    opened: list[ProcessWorker] = []
    open_it = ProcessWorker.open

    async def remember_and_open(worker: ProcessWorker) -> ProcessReady:
        opened.append(worker)
        return await open_it(worker)

    monkeypatch.setattr(ProcessWorker, "open", remember_and_open)
    return opened


@in_event_loop
async def test_server_goes_where_latest_is_moved_and_back(anywhere: str, tmp_path: Path) -> None:
    async with watching(anywhere, tmp_path) as watched:
        for _ in range(2):
            watched.publish()
        await watched.load_first()
        moves: tuple[tuple[int, How], ...] = ((1, "rollback"), (2, "promote"))
        for version, how in moves:
            _move_latest(watched.folder, version, how)
            await asyncio.gather(watched.watcher.look_on_demand(), watched.watcher.look())
            assert watched.version == version
        open_folder(watched.folder).write("4/bundle.json", b"{}")  # by a build that knows no records
        await watched.watcher.look()
        assert (watched.version, watched.watcher.refused()) == (2, {})


@in_event_loop
async def test_bad_latest_gives_way_to_the_one_before_it_now_and_at_the_next_start(tmp_path: Path) -> None:
    async with watching(tmp_path / "models", tmp_path) as watched:
        watched.publish()
        watched.publish(next(iter(spoiled.SPOILED)))
        watched.publish()
        await watched.load_first()
        _move_latest(watched.folder, 2, "rollback")
        await watched.watcher.look()
        assert watched.version == 1
        with pytest.raises(VersionRefused, match="version 2 is refused"):
            await asyncio.gather(watched.watcher.look_on_demand(), watched.watcher.look())
    async with watching(tmp_path / "models", tmp_path / "again") as watched:
        await watched.load_first()
        assert watched.version == 1


@in_event_loop
async def test_pinned_version_stays_wherever_latest_is_moved(tmp_path: Path) -> None:
    async with watching(tmp_path / "models", tmp_path, "--model-version", "2") as watched:
        for _ in range(2):
            watched.publish()
        await watched.load_first()
        _move_latest(watched.folder, 1, "rollback")
        await watched.watcher.look()
        assert watched.version == 2


def _move_latest(models: str, version: int, how: How) -> None:
    folder = open_folder(models)
    seen = look(folder)
    move(folder, seen.standing, promotion_of(version, seen.order, how, "a test"))
