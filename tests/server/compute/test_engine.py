import asyncio
import json
import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from fovea.model.bundle import ModelBundle
from server.compute import engine, process_worker, restarts
from server.compute.backend import WorkItem
from server.compute.engine import Engine
from server.compute.private_folder import PrivateFolder
from server.compute.start_up import ProcessReady, ProcessSettings
from server.compute.template import TEMPLATE, Template
from server.compute.warm_up import WarmUp
from server.config import ServeSettings
from server.models.served_model import ServedModel
from server.telemetry.metrics import Metrics
from tests import tiny
from tests.server.event_loop import in_event_loop, until

SETTINGS = ServeSettings(models="unused", provider="cpu", threads=2)


class Opened:
    """A worker that is open at once, without its process."""

    def __init__(self, settings: ProcessSettings) -> None:
        self.settings = settings

    async def open(self) -> ProcessReady:
        return ProcessReady("fp32", WarmUp(0.005, ((1, 0.01),)), run_images=2)


@in_event_loop
async def test_on_a_cpu_the_first_worker_takes_all_cores_for_a_lone_image_and_each_other_one_core(
    tiny_bundle: ModelBundle,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ProcessWorker", Opened)
        opened = await engine.open_engine(
            tiny_bundle, ServeSettings(models="unused", provider="cpu", threads=3)
        )
    workers = [worker for worker in opened.workers if isinstance(worker, Opened)]
    assert [worker.settings.wide_threads for worker in workers] == [3, 1, 1]
    assert [worker.settings.run_images for worker in workers] == [0, 2, 2]  # the first one measures for all
    assert len({worker.settings.shared_weights for worker in workers} - {""}) == 1
    assert opened.folder
    opened.folder.remove()
    assert opened.limits.concurrency == 3
    assert opened.limits.min_efficient_batch == 2


class NeverOpen(Opened):
    """A worker that is still opening when it is ended, which never ends either."""

    ending = asyncio.Event()

    async def open(self) -> ProcessReady:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def end(self) -> None:
        self.ending.set()
        await asyncio.get_running_loop().create_future()


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@in_event_loop
async def test_a_model_that_is_given_up_as_it_opens_leaves_no_folder(
    tiny_bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(engine, "ProcessWorker", NeverOpen)
    opening = asyncio.create_task(engine.open_engine(tiny_bundle, SETTINGS))
    await until(lambda: bool(files_in(tmp_path)))
    opening.cancel()
    await NeverOpen.ending.wait()
    opening.cancel()
    await asyncio.wait((opening,))
    assert opening.cancelled()
    assert not files_in(tmp_path)


def served(opened: Engine) -> ServedModel:
    return ServedModel(opened, SETTINGS, Metrics().of_model("pets"))


@in_event_loop
async def test_where_a_gpu_computes_there_is_no_template(
    tiny_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = Template()
    template.begin()
    monkeypatch.setattr(engine, "TEMPLATE", template)
    monkeypatch.setattr(engine, "_open_on_gpu", lambda bundle, settings, device: None)
    await engine.open_engine(tiny_bundle, ServeSettings(models="unused", provider="cuda"))
    assert template._process is None


@in_event_loop
async def test_a_process_that_is_started_again_checks_the_model_that_all_share_and_does_without(
    tiny_bundle: ModelBundle,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(restarts, "RESTART_AFTER_S", (0.0, 3600.0))
    TEMPLATE.end()  # another one has this test's stderr
    opened = await engine.open_engine(tiny_bundle, SETTINGS)
    model = served(opened)
    assert opened.folder
    shared = opened.folder.path / "fp32" / "model.onnx"
    shutil.copy(tiny.stage_bundle(tmp_path / "other", gain=1.0, embeds=True).model_path, shared)
    for worker in opened.workers:
        os.kill(worker.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    await until(lambda: caplog.messages.count("a compute process was started again") == len(opened.workers))
    (line, *_) = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "for itself" in line]
    assert (line["level"], "golden check failed" in line["message"]) == ("warning", True)
    assert (await model.classify(WorkItem(tiny.picture("green")), None)).best == 1
    await model.close()
    assert not opened.folder.path.exists()


@in_event_loop
async def test_where_nothing_can_be_written_each_process_has_its_own_weights_and_the_log_says_so(
    tiny_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null")
    with caplog.at_level(logging.WARNING):
        opened = await engine.open_engine(tiny_bundle, SETTINGS)
    model = served(opened)
    assert opened.folder is None
    assert caplog.messages == [
        "each process keeps the model's weights for itself: no folder for temporary files: Not a directory"
    ]
    assert (await model.classify(WorkItem(tiny.picture("blue")), None)).best == 2
    await model.close()


@in_event_loop
async def test_what_the_first_process_has_not_written_is_not_loaded(
    tiny_bundle: ModelBundle, tmp_path: Path
) -> None:
    folder = PrivateFolder()
    (folder.path / "fp32").mkdir()
    shutil.copy(tiny.stage_bundle(tmp_path / "other", gain=1.0, embeds=True).model_path, folder.path / "fp32")
    worker = process_worker.ProcessWorker(engine._process_settings(tiny_bundle, SETTINGS, 1, folder))
    assert (await worker.open()).precision == "fp32"  # the golden check would refuse what is there
    await worker.end()
    folder.remove()
