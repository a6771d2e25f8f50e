import asyncio
import hashlib
import socket
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from fovea import daemons
from fovea.capture.files import put_window
from fovea.capture.reading import read_captures
from fovea.capture.rows import Captured
from fovea.errors import SettingsInvalid, Unavailable
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import CPU
from fovea.stores.storage import LocalFolder, open_folder
from server.compute.backend import WorkItem
from server.compute.engine import Engine
from server.compute.wants import DISTANCE
from server.config import ServeSettings
from server.models import captures
from server.models.captures import Captures, captures_of
from server.models.served_model import ServedModel
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.priorities import ItemResult
from server.queue.worker import ThreadWorker
from server.rollout.shadow import AnsweredImage, Shadow, ShadowAnswer, Then
from server.telemetry.metrics import Metrics
from tests.server.event_loop import in_event_loop
from tests.server.gated_model import GatedModel

SURE, CLOSE, LOW = [0.9, 0.05, 0.05], [0.62, 0.37, 0.01], [0.55, 0.35, 0.1]


class Capturing:
    """A model whose answers are given by hand, and what is captured of them."""

    def __init__(
        self, bundle: ModelBundle, folder: Path | str, *, shadow: Shadow | None = None, **options: Any
    ) -> None:
        given: dict[str, Any] = {"models": "unused", "capture": str(folder), "capture_share": 0, **options}
        self.metrics = Metrics()
        settings = ServeSettings(**given)
        self.captures = Captures(str(folder), settings, self.metrics)
        workers = [ThreadWorker[Any](GatedModel())]
        engine = Engine(bundle, CPU, "fp32", workers, BatchLimits(1), CostModel(), decode_ahead=False)
        model_metrics = self.metrics.of_model("pets")
        self.model = ServedModel(engine, settings, model_metrics, captures=self.captures, shadow=shadow)

    def answer(
        self, probabilities: list[float], content: bytes | memoryview, wants: int = 0, *more: float
    ) -> None:
        item = WorkItem(content, wants=wants)
        self.model.watch(item)
        item.content = b""  # as where it was decoded
        row = np.array([*probabilities, *more], np.float32)
        self.model.counted(ItemResult(row, 1, 0.0, 0.0, 0.0), item)

    def look_for_drift(self) -> None:
        """As where a window ends."""
        for model in self.captures._models:
            model.look_for_drift()

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"fovea_{name}_total", labels) or 0


@asynccontextmanager
async def capturing(bundle: ModelBundle, folder: Path | str, **options: Any) -> AsyncIterator[Capturing]:
    """Leaving the block writes the open window, as SIGTERM does."""
    made = Capturing(bundle, folder, **options)
    made.captures.begin()
    try:
        yield made
    finally:
        await made.captures.close(60)
        await made.model.close()


class AskedAgain:
    """Of the images that a shadow is offered, what is to be told when it has answered."""

    def __init__(self) -> None:
        self.images: list[AnsweredImage] = []
        self.then: list[Then] = []

    def draws(self, version: int) -> bool:
        return True

    def offer(self, image: AnsweredImage, then: Then) -> None:
        self.images.append(image)
        self.then.append(then)


def rows(folder: Path) -> list[Captured]:
    return list(read_captures(str(folder)))


def files(folder: Path) -> list[Path]:
    return list(folder.rglob("*.parquet"))


@in_event_loop
async def test_answers_are_captured_for_their_reasons_with_what_was_said(
    tiny_bundle: ModelBundle, tmp_path: Path
) -> None:
    contract = tiny_bundle.contract
    assert contract.out_of_distribution is not None
    far = contract.out_of_distribution.threshold + 0.5
    async with capturing(tiny_bundle, tmp_path, capture_margin=0.3) as made:
        made.answer(SURE, b"sure")
        made.answer(CLOSE, b"close")
        made.answer(LOW, b"low")
        made.answer(SURE, b"strange", DISTANCE, far)
        made.answer(SURE, b"known", DISTANCE, 0.0)
        assert made.count("captured", reason="abstained") == 0, "said when it is written"
    found = {row.reason: row for row in rows(tmp_path)}
    assert {reason: row.image for reason, row in found.items()} == {
        "unknown": b"strange",
        "abstained": b"low",
        "small_margin": b"close",
    }
    strange, close = found["unknown"], found["small_margin"]
    assert strange.unknown
    assert strange.distance == pytest.approx(far)
    assert (close.unknown, close.distance, close.abstained) == (None, None, False), "nobody asked"
    assert close.margin == pytest.approx(0.25)
    assert close.top_labels == contract.labels
    assert close.label == contract.labels[0]
    assert close.probability == pytest.approx(0.62)
    assert (close.model_name, close.model_version) == (contract.name, contract.version)
    assert close.model_digest == tiny_bundle.digest_of("fp32")
    assert close.sha256 == hashlib.sha256(b"close").hexdigest()
    assert [made.count("captured", reason=reason) for reason in (*found, "uniform")] == [1, 1, 1, 0]


@in_event_loop
async def test_what_is_answered_again_is_captured_once_with_what_the_other_version_says(
    tiny_bundle: ModelBundle, tmp_path: Path
) -> None:
    again = AskedAgain()
    other, same = ShadowAnswer("green", 0.75, 4), ShadowAnswer("red", 0.5, 4)
    it_too = ShadowAnswer("green", 0.75, 4, selected=("green", "red"))
    async with capturing(tiny_bundle, tmp_path, capture_margin=0.3, shadow=cast("Shadow", again)) as made:
        answers = {b"differs": SURE, b"close": CLOSE, b"close too": CLOSE, b"same": SURE, b"dropped": LOW}
        answers[b"is selected too"] = SURE
        for content, answer in answers.items():
            made.answer(answer, content)
        assert not made.captures._sample.kept, "before the shadow has answered"
        assert made.captures._answers == 0
        assert [image.probability for image in again.images[:2]] == pytest.approx([0.9, 0.62])
        for then, said in zip(again.then, (other, other, same, same, None, it_too), strict=True):
            then(said)
        assert made.captures._answers == len(answers)
    found = {
        row.image: (row.reason, row.label, row.shadow_label, row.shadow_version) for row in rows(tmp_path)
    }
    assert found == {
        b"differs": ("disagreement", "red", "green", 4),
        b"close": ("small_margin", "red", "green", 4),
        b"close too": ("small_margin", "red", "red", 4),
        b"dropped": ("abstained", "red", None, None),
    }
    assert {row.shadow_probability for row in rows(tmp_path)} == {0.75, 0.5, None}


@in_event_loop
async def test_pixels_are_offered_to_the_shadow_and_captured_by_nobody(
    tiny_bundle: ModelBundle, tmp_path: Path
) -> None:
    again = AskedAgain()
    async with capturing(tiny_bundle, tmp_path, capture_share=1, shadow=cast("Shadow", again)) as made:
        memory = bytearray(b"pixels")
        item = WorkItem(memoryview(memory), is_crop=True)
        made.model.watch(item)
        made.model.counted(ItemResult(np.array(SURE, np.float32), 1, 0.0, 0.0, 0.0), item)
        memory[:] = b"others"
        (image,) = again.images
        assert image[:3] == (b"pixels", tiny_bundle.contract.preprocess, "red")
        again.then[0](ShadowAnswer("green", 0.75, 4))
    assert rows(tmp_path) == []


@in_event_loop
async def test_a_share_of_all_is_captured_within_the_budgets(
    tiny_bundle: ModelBundle, tmp_path: Path
) -> None:
    limits = {"capture_share": 1, "capture_per_hour": 12 * 7, "capture_bytes_per_hour": 12 * 65}
    async with capturing(tiny_bundle, tmp_path, **limits) as made:
        for _ in range(100):
            made.answer(SURE, b"0123456789")
        made.answer(SURE, bytes(66))
    assert [row.reason for row in rows(tmp_path)] == ["uniform"] * 6
    assert made.count("captured", reason="uniform") == 6
    assert made.count("captures_lost", why="too_large") == 1


@in_event_loop
async def test_redacted_captures_hold_no_bytes_of_an_image(tiny_bundle: ModelBundle, tmp_path: Path) -> None:
    image = b"a secret, which is in no file"
    async with capturing(tiny_bundle, tmp_path, capture_share=1, capture_images=False) as made:
        made.answer(SURE, image)
    (row,) = rows(tmp_path)
    assert (row.image, row.size_bytes) == (None, len(image))
    (file,) = files(tmp_path)
    assert b"secret" not in file.read_bytes()
    async with capturing(tiny_bundle, tmp_path / "whole", capture_share=1) as made:
        made.answer(SURE, image)
    (file,) = files(tmp_path / "whole")
    assert b"secret" in file.read_bytes(), "or the search would find nothing"


@in_event_loop
async def test_each_window_has_a_file_of_its_own(
    tiny_bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = asyncio.Event()
    loop = asyncio.get_running_loop()

    def put(*given: Any) -> str:
        loop.call_soon_threadsafe(written.set)
        return put_window(*given)

    monkeypatch.setattr(captures, "put_window", put)
    async with capturing(
        tiny_bundle, tmp_path, capture_share=1, capture_seconds=1, capture_per_hour=21_600
    ) as made:
        made.answer(SURE, b"first")
        await asyncio.wait_for(written.wait(), 30)
        made.answer(SURE, b"second")
    assert len(files(tmp_path)) == 2
    assert [row.image for row in rows(tmp_path)] == [b"first", b"second"]


@in_event_loop
async def test_a_store_that_fails_costs_the_captures_and_is_told_once(
    tiny_bundle: ModelBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "captures").write_text("in the way")
    made = Capturing(tiny_bundle, tmp_path / "captures", capture_share=1)
    for _ in range(2):
        made.answer(SURE, b"image")
        await made.captures._end_window()
    assert caplog.text.count("captures cannot be written") == 1
    assert made.count("captures_lost", why="store") == 2
    assert made.count("captured", reason="uniform") == 0
    (tmp_path / "captures").unlink()
    made.answer(SURE, b"image")
    await made.captures._end_window()
    assert made.count("captured", reason="uniform") == 1
    await made.model.close()


@in_event_loop
async def test_a_store_that_hangs_holds_up_the_end_no_longer_than_was_said(
    tiny_bundle: ModelBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(captures, "put_window", lambda *given: hangs.wait(60))
    monkeypatch.setattr(captures, "FLUSH_S", 0.05)
    made = Capturing(tiny_bundle, tmp_path, capture_share=1)
    made.captures.begin()
    made.answer(SURE, b"image")
    await asyncio.wait_for(made.captures.close(0), 30)
    assert "the last captures were not written in time" in caplog.text
    hangs.set()
    await made.model.close()


@in_event_loop
async def test_an_answer_of_a_class_that_drifts_is_captured(tiny_bundle: ModelBundle, tmp_path: Path) -> None:
    async with capturing(tiny_bundle, tmp_path) as made:
        made.answer(SURE, b"before")
        drift = made.model.statistics.drifts["classes"]
        drift.counts[0] += 5000
        await made.captures._end_window()
        made.answer(SURE, b"drifting")
        made.answer([0.02, 0.96, 0.02], b"rare by now")
    reasons = {row.image: row.reason for row in rows(tmp_path)}
    assert reasons == {b"drifting": "drifting_class", b"rare by now": "drifting_class"}


@in_event_loop
async def test_old_captures_are_removed_and_a_store_that_refuses_that_loses_none(
    tiny_bundle: ModelBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = tmp_path / "date=2020-01-01" / "fovea-capture-20200101T000000Z-a-1.parquet"
    old.parent.mkdir()
    old.write_bytes(b"old")

    def refuse(self: object, key: str) -> None:
        raise Unavailable("may not delete")

    with monkeypatch.context() as patched:
        patched.setattr(LocalFolder, "remove", refuse)
        async with capturing(tiny_bundle, tmp_path, capture_share=1, capture_retention_days=30) as made:
            made.answer(SURE, b"image")
            await made.captures._end_window()
    assert old.exists()
    assert "old captures cannot be removed" in caplog.text
    assert made.count("captured", reason="uniform") == 1
    async with capturing(tiny_bundle, tmp_path, capture_share=1, capture_retention_days=30) as made:
        await made.captures._end_window()
    assert not old.exists()
    assert len(rows(tmp_path)) == 1


@in_event_loop
async def test_the_end_waits_for_the_last_window_and_for_no_removal(
    tiny_bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    olds = [
        tmp_path / f"date=2020-01-0{day}" / f"fovea-capture-2020010{day}T000000Z-a-1.parquet"
        for day in (1, 2)
    ]
    for old in olds:
        old.parent.mkdir()
        old.write_bytes(b"old")
    looks: list[object] = []
    with monkeypatch.context() as patched:
        patched.setattr(captures, "remove_older", lambda *given: looks.append(given))
        async with capturing(tiny_bundle, tmp_path, capture_share=1, capture_retention_days=30) as made:
            made.answer(SURE, b"image")
    assert made.count("captured", reason="uniform") == 1
    assert not looks, "a list may take long already"
    made = Capturing(tiny_bundle, tmp_path, capture_retention_days=30)
    remove = LocalFolder.remove

    def removed(self: LocalFolder, key: str) -> None:
        remove(self, key)
        made.captures._stop.set()

    monkeypatch.setattr(LocalFolder, "remove", removed)
    await made.captures._end_window()
    assert [old.exists() for old in olds] == [False, True], "the end came meanwhile"
    await made.model.close()


@in_event_loop
async def test_a_fault_of_ours_costs_no_window_but_its_own(
    tiny_bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> str:
        raise RuntimeError("a fault")

    made = Capturing(tiny_bundle, tmp_path, capture_share=1)
    with monkeypatch.context() as patched:
        patched.setattr(captures, "put_window", fail)
        patched.setattr(captures.ModelCaptures, "look_for_drift", fail)
        made.answer(SURE, b"first")
        await made.captures._end_window()
    made.answer(SURE, b"second")
    await made.captures._end_window()
    await made.model.close()
    assert [row.image for row in rows(tmp_path)] == [b"second"]
    assert made.count("captures_lost", why="store") == 1


@in_event_loop
async def test_an_answer_that_cannot_be_captured_is_given_all_the_same(
    tiny_bundle: ModelBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*given: object) -> None:
        raise RuntimeError("a fault")

    async with capturing(tiny_bundle, tmp_path, capture_share=1) as made:
        with monkeypatch.context() as patched:
            patched.setattr(captures.Captures, "offer", fail)
            for _ in range(2):
                made.answer(SURE, b"lost")
        made.answer(SURE, b"captured")
    assert [row.image for row in rows(tmp_path)] == [b"captured"]
    assert made.count("captures_lost", why="fault") == 2
    assert caplog.text.count("an answer cannot be captured") == 1


@pytest.mark.slow
@in_event_loop
async def test_a_store_that_nobody_answers_for_costs_the_captures_and_is_told_once(
    tiny_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        monkeypatch.setattr(captures, "open_folder", lambda uri, **longer: open_folder(uri))
        made = Capturing(tiny_bundle, "s3://gone", capture_share=1)
        for _ in range(2):
            made.answer(SURE, b"image")
            await made.captures._end_window()
    assert made.count("captures_lost", why="store") == 2
    assert caplog.text.count("captures cannot be written") == 1
    await made.model.close()


@in_event_loop
async def test_a_thread_that_cannot_be_had_costs_one_window(
    tiny_bundle: ModelBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*given: object) -> None:
        raise RuntimeError("can't start new thread")

    async with capturing(tiny_bundle, tmp_path, capture_share=1) as made:
        with monkeypatch.context() as patched:
            patched.setattr(daemons, "start", fail)
            made.answer(SURE, b"first")
            await made.captures._end_window()
        made.answer(SURE, b"second")
    assert [row.image for row in rows(tmp_path)] == [b"second"]
    assert made.count("captures_lost", why="store") == 1
    assert "captures cannot be written and are lost" in caplog.text


@in_event_loop
async def test_crops_are_no_files_and_not_captured(tiny_bundle: ModelBundle, tmp_path: Path) -> None:
    async with capturing(tiny_bundle, tmp_path, capture_share=1) as made:
        item = WorkItem(b"pixels", is_crop=True)
        made.model.watch(item)
        assert item.came is None
        made.model.counted(ItemResult(np.array(SURE, np.float32), 1, 0.0, 0.0, 0.0), item)
    assert rows(tmp_path) == []


@in_event_loop
async def test_images_are_kept_where_they_lie_unless_more_would_be_kept_with_them(
    tiny_bundle: ModelBundle, tmp_path: Path
) -> None:
    call = b"\n\x05image" + bytes(100)
    large, memory = b"image" + bytes(captures.SPARE_BYTES + 1), bytearray(b"image")
    made = Capturing(tiny_bundle, tmp_path, capture_share=1)
    for view in (memoryview(call)[2:7], memoryview(large)[:5], memoryview(memory)):
        made.answer(SURE, view)
    memory[:] = b"other"
    kept = [answer.content for _, answer in made.captures._sample.kept]
    assert [getattr(content, "obj", None) is call for content in kept] == [True, False, False]
    assert [bytes(content) for content in kept] == [b"image"] * 3
    await made.model.close()


@in_event_loop
async def test_of_a_batchs_result_nothing_is_kept_but_the_answer(
    tiny_bundle: ModelBundle, tmp_path: Path
) -> None:
    batch = np.tile(np.array([*SURE, 0.25], np.float32), (1000, 1)).copy()
    made = Capturing(tiny_bundle, tmp_path, capture_share=1)
    for row, wants in ((batch[0], DISTANCE), (batch[0, :3], 0)):
        item = WorkItem(b"image", wants=wants)
        made.model.watch(item)
        made.model.counted(ItemResult(row, 1000, 0.0, 0.0, 0.0), item)
        del row
    whole = weakref.ref(batch)
    del batch
    assert whole() is None
    assert [answer.distance for _, answer in made.captures._sample.kept] == [0.25, None]
    await made.model.close()


def test_nothing_is_captured_unless_it_was_asked_for() -> None:
    assert captures_of(ServeSettings(models="unused"), Metrics()) is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"capture_margin": 0.2}, "--capture-margin is for --capture, which is not given"),
        (
            {"capture": "here", "capture_per_hour": 59},
            "--capture-per-hour 59 leaves 4 of --capture-seconds 300",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ServeSettings(models="unused", **options)


def test_options_in_the_environment_stop_no_server_whose_capture_is_turned_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FOVEA_SERVE_CAPTURE_PER_HOUR", "10")
    assert ServeSettings(models="unused").capture is None


@pytest.mark.parametrize(("largest", "warnings"), [(1000, 0), (1001, 1)])
@in_event_loop
async def test_that_the_largest_images_are_not_captured_is_told_at_the_start(
    tiny_bundle: ModelBundle, tmp_path: Path, caplog: pytest.LogCaptureFixture, largest: int, warnings: int
) -> None:
    limits = {"capture_bytes_per_hour": 12_000, "max_image_bytes": largest}
    async with capturing(tiny_bundle, tmp_path, capture_share=1, **limits) as made:
        made.answer(SURE, bytes(largest))
    assert caplog.text.count("raise --capture-bytes-per-hour") == warnings
    assert made.count("captures_lost", why="too_large") == warnings


def test_a_place_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsInvalid, match="ftp://"):
        captures_of(ServeSettings(models="unused", capture="ftp://captures"), Metrics())
