import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from fovea.model.bundle import ModelBundle
from server.compute.backend import WorkItem
from server.queue.batch_policy import BatchLimits
from server.queue.batcher import Batcher
from server.queue.worker import Batch, Computed, Owner, WorkerDied
from server.rollout import shadow as shadows
from server.rollout.shadow import WAITING, AnsweredImage, Shadow, ShadowAnswer
from server.rollout.shadow_version import ShadowVersion
from server.telemetry.metrics import Metrics
from tests import tiny
from tests.server.event_loop import in_event_loop, until

CURRENT, VERSION = 8, 9


class Second:
    """What computes the other version's batches, when a test says so: b"green" is green, and so on."""

    capacity = 1

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.batches: list[Batch[WorkItem]] = []
        self.seen: list[bytes] = []
        self._labels = labels

    def attach(self, owner: Owner[WorkItem]) -> None:
        self.owner = owner
        owner.available(self)

    def start(self, batch: Batch[WorkItem]) -> None:
        assert len(batch.items) == 1
        self.began = asyncio.get_running_loop().time()
        self.seen += [bytes(item.payload.content) for item in batch.items]
        self.batches.append(batch)

    async def end(self) -> None:
        while self.batches:
            self.owner.finished(self.batches.pop(), WorkerDied("the server has given up the batch"))

    def finish(self) -> None:
        batch = self.batches.pop()
        (item,) = batch.items
        row = np.array([0.8 if item.payload.content == each.encode() else 0.1 for each in self._labels])
        self.owner.finished(batch, Computed([row.astype(np.float32)], [0.0], 0.0, 0.0))

    def fail(self) -> None:
        self.owner.finished(self.batches.pop(), RuntimeError("no answer"))


class Shadowed:
    """A shadow, and the version that it asks; what it says of each image."""

    def __init__(self, bundle: ModelBundle, max_bytes: int) -> None:
        contract = bundle.contract.model_copy(update={"version": VERSION})
        self.spec = contract.preprocess
        self.second = Second(contract.labels)
        batcher = Batcher[WorkItem]([self.second], BatchLimits(1))
        self.model = cast("ShadowVersion", SimpleNamespace(contract=contract, batcher=batcher))
        self.metrics = Metrics()
        self.is_spare = True
        self.ask_spare: Callable[[], bool] = lambda: self.is_spare
        self.shadow = Shadow(
            1.0, max_bytes, self.metrics.of_model("pets").shadow, CURRENT.__eq__, lambda: self.ask_spare()
        )
        self.shadow.use(self.model)
        self.said: dict[bytes, ShadowAnswer | None] = {}

    def offer(self, content: bytes, label: str = "red", **more: Any) -> None:
        assert self.shadow.draws(CURRENT)

        def then(answer: ShadowAnswer | None) -> None:
            assert content not in self.said, "once"
            self.said[content] = answer

        image = AnsweredImage(content, more.get("spec"), label, 0.6, more.get("selected"))
        self.shadow.offer(image, then)

    async def begun(self) -> None:
        await until(lambda: bool(self.second.batches))

    def has_said(self, content: bytes) -> bool:
        return content in self.said

    def count(self, outcome: str) -> float:
        return self.of("shadow_total", outcome=outcome)

    def of(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"fovea_{name}", labels) or 0


@asynccontextmanager
async def shadowed(bundle: ModelBundle, max_bytes: int = 1000) -> AsyncIterator[Shadowed]:
    made = Shadowed(bundle, max_bytes)
    try:
        yield made
    finally:
        await made.model.batcher.close()


@in_event_loop
async def test_what_both_say_is_compared_and_counted(tiny_bundle: ModelBundle) -> None:
    async with shadowed(tiny_bundle) as made:
        compared: list[tuple[int, bool]] = []
        made.shadow.on_compared = lambda version, agrees: compared.append((version, agrees))
        for content in (b"red", b"green"):
            made.offer(content)
            await made.begun()
            made.second.finish()
            await until(partial(made.has_said, content))
        assert compared == [(VERSION, True), (VERSION, False)]
        answers = [made.said[content] for content in (b"red", b"green")]
        assert [answer and (answer.label, answer.version) for answer in answers] == [
            ("red", VERSION),
            ("green", VERSION),
        ]
        assert [answer and answer.probability for answer in answers] == pytest.approx([0.8, 0.8])
        assert [made.count(each) for each in ("agree", "disagree", "dropped", "failed")] == [1, 1, 0, 0]
        assert made.of("shadow_disagreed_total", label="red") == 1
        assert made.of("shadow_difference_ratio_sum") == pytest.approx(0.4)


@in_event_loop
async def test_of_multi_label_models_the_sets_are_compared_whatever_their_order(tmp_path: Path) -> None:
    """It says green of b"green", where the current one says this."""
    sets = {
        (): [0, 1, 0],
        ("green",): [0, 0, 0],
        ("red", "green"): [1, 0, 0],
        ("blue", "red"): [1, 1, 1],
    }
    for selected, disagreed in sets.items():
        bundle = tiny.stage_bundle(tmp_path / ("".join(selected) or "none"), multi=True)
        async with shadowed(bundle) as made:
            made.offer(b"green", "green", selected=selected)
            await made.begun()
            made.second.finish()
            await until(partial(made.has_said, b"green"))
            answer = made.said[b"green"]
            assert answer is not None
            assert (answer.label, answer.selected) == ("green", ("green",))
            assert [made.of("shadow_disagreed_total", label=label) for label in tiny.LABELS] == disagreed
            assert made.count("disagree") == any(disagreed)


@in_event_loop
async def test_a_share_of_what_the_current_version_answers_is_drawn(tiny_bundle: ModelBundle) -> None:
    async with shadowed(tiny_bundle) as made:
        assert not made.shadow.draws(CURRENT - 1), "it was replaced"
        metrics = Metrics().of_model("pets").shadow
        rarely = Shadow(0.25, 1000, metrics, CURRENT.__eq__, lambda: True)
        assert not rarely.draws(CURRENT), "by no version"
        rarely.use(made.model)
        assert 0.2 < sum(rarely.draws(CURRENT) for _ in range(10_000)) / 10_000 < 0.3


@in_event_loop
async def test_it_begins_only_where_nobody_needs_a_worker_and_with_one_image(
    tiny_bundle: ModelBundle,
) -> None:
    async with shadowed(tiny_bundle) as made:
        made.is_spare = False
        made.offer(b"red")
        made.offer(b"green")
        await asyncio.sleep(10 * shadows.AFTER_S)
        assert not made.second.seen, "an image is computed, or waits"
        made.is_spare = True
        made.shadow.draws(CURRENT)  # an image was answered
        await made.begun()
        await asyncio.sleep(10 * shadows.AFTER_S)
        assert made.second.seen == [b"red"]
        made.second.finish()
        await made.begun()
        assert made.second.seen == [b"red", b"green"]


@in_event_loop
async def test_it_begins_after_the_answer_is_on_its_way(tiny_bundle: ModelBundle) -> None:
    async with shadowed(tiny_bundle) as made:
        began = asyncio.get_running_loop().time()
        made.offer(b"red")
        await made.begun()
        assert made.second.began - began >= 0.001


@in_event_loop
async def test_of_those_that_wait_the_oldest_are_dropped(tiny_bundle: ModelBundle) -> None:
    async with shadowed(tiny_bundle, max_bytes=30) as made:
        made.is_spare = False
        images = [bytes([number]) for number in range(WAITING + 2)]
        for image in images:
            made.offer(image)
        assert list(made.said.items()) == [(images[0], None), (images[1], None)]
        made.offer(bytes(29))
        assert list(made.said) == images[:-1], "by their bytes too"
        made.offer(bytes(31))
        assert len(made.said) == WAITING + 4, "what is too large by itself, and what it pushes out"
        assert made.count("dropped") == WAITING + 4


@in_event_loop
async def test_there_is_room_again_for_what_was_answered(tiny_bundle: ModelBundle) -> None:
    async with shadowed(tiny_bundle, max_bytes=4) as made:
        for content in (b"red", b"blue"):
            made.offer(content)
            assert content not in made.said
            await made.begun()
            made.second.finish()
            await until(partial(made.has_said, content))
        assert made.count("dropped") == 0


@in_event_loop
async def test_what_fails_or_dies_is_counted_and_told_once(
    tiny_bundle: ModelBundle, caplog: pytest.LogCaptureFixture
) -> None:
    async with shadowed(tiny_bundle) as made:
        for content in (b"red", b"green"):
            made.offer(content)
            await made.begun()
            made.second.fail()
            await until(partial(made.has_said, content))
        assert set(made.said.values()) == {None}
        assert made.count("failed") == 2
        assert caplog.text.count("the shadow cannot answer an image") == 1
        made.second.owner.lost(made.second)
        made.offer(b"blue")
        await asyncio.sleep(10 * shadows.AFTER_S)
        assert b"blue" not in made.said, "until there is a process again"
        made.second.owner.available(made.second)
        made.shadow.draws(CURRENT)
        await made.begun()


@in_event_loop
async def test_pixels_are_answered_again_only_by_who_prepares_them_likewise(tiny_bundle: ModelBundle) -> None:
    async with shadowed(tiny_bundle) as made:
        made.offer(b"other", spec=made.spec.model_copy(update={"resize": 20}))
        assert made.said == {b"other": None}
        made.offer(b"alike", spec=made.spec)
        await made.begun()
        assert made.second.batches[0].items[0].payload.is_crop
        assert made.count("dropped") == 0


@in_event_loop
async def test_a_version_that_goes_drops_what_waits_and_is_no_failure(
    tiny_bundle: ModelBundle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with shadowed(tiny_bundle) as made:
        made.offer(b"red")
        await made.begun()
        made.offer(b"green")
        made.shadow.use(None)
        assert made.said == {b"green": None}
        assert not made.shadow.draws(CURRENT)
        await until(lambda: b"red" in made.said)
        made.second.finish()
        assert (made.count("dropped"), made.count("failed"), caplog.text) == (2, 0, "")


@in_event_loop
async def test_at_the_end_all_is_said_before_captures_are_closed(tiny_bundle: ModelBundle) -> None:
    async with shadowed(tiny_bundle) as made:
        made.offer(b"red")
        await made.begun()
        made.offer(b"green")
        await made.shadow.end()
        assert made.said == {b"red": None, b"green": None}
        await made.shadow.end()


@in_event_loop
async def test_what_waits_begins_when_a_worker_is_idle_though_no_other_image_comes(
    tiny_bundle: ModelBundle,
) -> None:
    async with shadowed(tiny_bundle) as made:
        made.is_spare = False
        made.offer(b"red")
        await asyncio.sleep(10 * shadows.AFTER_S)
        made.is_spare = True
        await made.begun()


@in_event_loop
async def test_an_image_is_dropped_that_was_to_begin_in_the_turn_in_which_the_version_goes(
    tiny_bundle: ModelBundle,
) -> None:
    async with shadowed(tiny_bundle, max_bytes=4) as made:
        goes = True

        def is_spare() -> bool:  # is asked just before the image begins
            if goes:
                asyncio.get_running_loop().call_soon(made.shadow.use, None)
            return True

        made.ask_spare = is_spare
        made.offer(b"red")
        await until(lambda: made.said == {b"red": None})
        assert (made.count("dropped"), made.second.seen) == (1, [])
        goes = False
        made.shadow.use(made.model)
        made.offer(b"blue")
        assert b"blue" not in made.said, "there is room again"
        await made.begun()
        made.second.finish()
        await until(lambda: b"blue" in made.said)
