"""The client for asyncio, against a real server, and against a stub where a call must hang."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from os import PathLike
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.client import AsyncClient, CallFailed, Classification, ImageLike
from fovea.errors import DataInvalid
from tests import tiny
from tests.server.event_loop import in_event_loop
from tests.servers import ServerProcess, running_server
from tests.stub_classifier import HELD, StubClassifier, stub_server


@pytest.fixture(scope="module")
def server(tiny_models: Path) -> Iterator[ServerProcess]:
    with running_server(tiny_models) as server:
        yield server


@pytest.fixture
def stub() -> Iterator[StubClassifier]:
    with stub_server() as stub:
        yield stub


@in_event_loop
async def test_a_path_bytes_an_image_and_an_array_give_the_same_answer(
    server: ServerProcess, tmp_path: Path
) -> None:
    data = tiny.picture("green")
    (tmp_path / "green.png").write_bytes(data)
    image = Image.open(io.BytesIO(data))
    async with AsyncClient(server.target) as client:
        given: list[ImageLike] = [tmp_path / "green.png", data, image, np.asarray(image)]
        answers = await asyncio.gather(*(client.classify(each, top_k=2, want=["distance"]) for each in given))
        assert tuple((await client.get_model()).labels) == tiny.LABELS
    assert {answer.predictions for answer in answers} == {answers[0].predictions}
    assert answers[0].label == "green"
    assert {(answer.unknown, answer.label_set) for answer in answers} == {(False, None)}


@in_event_loop
async def test_failures_are_the_clients_own(server: ServerProcess) -> None:
    async with AsyncClient(server.target) as client:
        with pytest.raises(CallFailed) as caught:
            await client.classify(b"no image")
        assert caught.value.field == "image"
        with pytest.raises(CallFailed):
            await client.get_model(model_version=9)
        with pytest.raises(DataInvalid, match=r"missing\.png: cannot be read"):
            await client.classify("missing.png")
        with pytest.raises(CallFailed, match=rf"{__file__}: the bytes are not an image"):
            await client.classify(__file__)


async def arriving(images: Iterable[bytes]) -> AsyncIterator[bytes]:
    for image in images:
        await asyncio.sleep(0)
        yield image


@pytest.mark.parametrize("come", [list, arriving])
@in_event_loop
async def test_many_come_back_in_order_and_a_bad_one_spoils_only_itself(
    server: ServerProcess, come: Callable[[Iterable[bytes]], Iterable[bytes] | AsyncIterator[bytes]]
) -> None:
    labels = [tiny.LABELS[index % 3] for index in range(60)]
    images = [tiny.picture(label, (20 + index, 20)) for index, label in enumerate(labels)]
    images[30] = b"broken"
    async with AsyncClient(server.target) as client:
        answers = [answer async for answer in client.classify_many(come(images), window=8)]
    got = [answer.label if isinstance(answer, Classification) else "failed" for answer in answers]
    assert got == [*labels[:30], "failed", *labels[31:]]


@in_event_loop
async def test_many_takes_no_more_images_than_its_window(stub: StubClassifier) -> None:
    taken = 0

    def images() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b"image"

    async with (
        AsyncClient(stub.address) as client,
        aclosing(client.classify_many(images(), window=4)) as all_,
    ):
        await anext(all_)
        assert taken == 4
        await anext(all_)
        assert taken <= 5


@in_event_loop
async def test_an_answer_does_not_wait_for_the_next_image(stub: StubClassifier) -> None:
    answered = asyncio.Event()

    async def images() -> AsyncIterator[bytes]:
        yield b"first"
        await answered.wait()
        yield b"second"

    count = 0
    async with AsyncClient(stub.address) as client:
        async for _ in client.classify_many(images()):
            answered.set()
            count += 1
    assert count == 2


@in_event_loop
async def test_what_came_before_a_failing_source_is_answered(stub: StubClassifier) -> None:
    async def images() -> AsyncIterator[bytes]:
        yield b"first"
        raise ConnectionResetError("the camera is gone")

    async with AsyncClient(stub.address) as client:
        answers = client.classify_many(images())
        assert isinstance(await anext(answers), Classification)
        with pytest.raises(ConnectionResetError, match="camera"):
            await anext(answers)


async def count_up(semaphore: threading.Semaphore, times: int) -> None:
    for _ in range(times):
        assert await asyncio.to_thread(semaphore.acquire, timeout=20)


@in_event_loop
async def test_cancelling_the_consumer_cancels_what_is_in_flight(stub: StubClassifier) -> None:
    async def consume(client: AsyncClient) -> None:
        async for _ in client.classify_many([HELD] * 9, window=3):
            pass

    async with AsyncClient(stub.address) as client:
        consumer = asyncio.create_task(consume(client))
        await count_up(stub.arrived, 3)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        await count_up(stub.ended, 3)
    assert stub.calls == 3


@in_event_loop
async def test_a_consumer_that_stops_cancels_what_is_in_flight(stub: StubClassifier) -> None:
    async with AsyncClient(stub.address) as client:
        async with aclosing(client.classify_many([b"first", *[HELD] * 8], window=3)) as answers:
            await anext(answers)
            await count_up(stub.arrived, 3)
        await count_up(stub.ended, 3)


@in_event_loop
async def test_cancelling_a_call_cancels_it_at_the_server(stub: StubClassifier) -> None:
    async with AsyncClient(stub.address) as client:
        call = asyncio.create_task(client.classify(HELD))
        await count_up(stub.arrived, 1)
        call.cancel()
        await count_up(stub.ended, 1)


@in_event_loop
async def test_a_file_is_not_read_in_the_event_loops_thread(stub: StubClassifier, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"image")
    threads: list[int] = []

    class Watched(PathLike[str]):
        def __fspath__(self) -> str:
            threads.append(threading.get_ident())
            return str(tmp_path / "image")

    async with AsyncClient(stub.address) as client:
        await client.classify(Watched())
    assert threads
    assert threading.get_ident() not in threads


def test_a_client_may_be_made_before_the_event_loop(stub: StubClassifier) -> None:
    client = AsyncClient(stub.address)

    async def classify() -> Classification:
        async with client:
            return await client.classify(b"image", request_id="order-7", priority="bulk")

    assert asyncio.run(classify()).request_id == "order-7"
