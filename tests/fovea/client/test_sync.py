"""The client, against a real server."""

import asyncio
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import grpc
import numpy as np
import pytest
from PIL import ExifTags, Image

from fovea.client import AsyncClient, CallFailed, Classification, Client, ImageLike, command, encoded
from fovea.client.request import WANTS, Want
from fovea.errors import DataInvalid, ExitCode, FoveaError
from fovea.images.preprocess import decode_image
from fovea.v1 import classify_pb2
from tests import tiny
from tests.fovea.client import quick_retries
from tests.servers import ServerProcess, running_server
from tests.stub_classifier import HELD, stub_server


@pytest.fixture(scope="module")
def server(tiny_models: Path) -> Iterator[ServerProcess]:
    with running_server(tiny_models, "--max-image-bytes", "8000000") as server:
        yield server


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.target) as client:
        yield client


def test_a_path_bytes_an_image_and_an_array_give_the_same_answer(client: Client, tmp_path: Path) -> None:
    data = tiny.picture("green")
    (tmp_path / "green.png").write_bytes(data)
    image = Image.open(io.BytesIO(data))
    given: list[ImageLike] = [
        tmp_path / "green.png",
        str(tmp_path / "green.png"),
        data,
        image,
        np.asarray(image),
    ]
    answers = [client.classify(each) for each in given]
    assert {(answer.label, answer.probability) for answer in answers} == {("green", answers[0].probability)}


def test_the_answer_tells_model_timing_and_all_asked_for(client: Client) -> None:
    answer = client.classify(tiny.picture("blue"), top_k=3, request_id="order-7")
    assert answer.label == "blue"
    assert sum(p.probability for p in answer.predictions) == pytest.approx(1, abs=1e-5)
    assert (answer.model.name, answer.model.version) == ("tiny", 1)
    assert answer.timing.batch_size >= 1
    assert answer.request_id == "order-7"


def test_what_is_wanted_beside_predictions_is_there_and_nothing_else(
    client: Client,
) -> None:
    grey = tiny.picture((120, 120, 120))
    wanted: list[tuple[Want, ...]] = [(), ("distance",), ("label_set",), ("embedding",), WANTS]
    details = ("unknown", "distance", "label_set", "embedding")
    for want in wanted:
        answer = client.classify(grey, want=want)
        there = {name for name in details if getattr(answer, name) is not None}
        assert there == {*want} | ({"unknown"} if "distance" in want else set())
    assert answer.unknown
    assert answer.distance == pytest.approx(6.8, abs=0.1)
    assert answer.label_set is not None
    assert answer.label_set.coverage == tiny.SETS.coverage
    assert answer.embedding is not None
    assert sum(value**2 for value in answer.embedding) == pytest.approx(1, abs=1e-5)
    assert [*client.classify_many([grey], want=WANTS)] == [replace(answer, timing=ANY)]


def test_command_prints_what_is_wanted(
    server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "grey.png"
    image.write_bytes(tiny.picture((120, 120, 120)))
    named = ["client", str(image), "--target", server.target]
    monkeypatch.setattr(sys, "argv", [*named, "--want", "distance, label_set"])
    assert command.main() == ExitCode.DONE
    assert re.search(r"90% set: [\w, ]+; distance 6\.\d\d \(unknown\)\n$", capsys.readouterr().out)
    monkeypatch.setattr(sys, "argv", [*named, "--want", "embedding", "--json"])
    assert command.main() == ExitCode.DONE
    line = json.loads(capsys.readouterr().out)
    assert len(line["embedding"]) == 3
    assert not {"unknown", "distance", "label_set"} & line.keys()


def test_a_bad_image_raises_with_status_and_field(client: Client) -> None:
    with pytest.raises(CallFailed) as caught:
        client.classify(b"no image")
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.field == "image"
    assert caught.value.exit_code == ExitCode.BAD_DATA


def test_a_file_that_is_not_there_is_named(client: Client, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"missing\.png: cannot be read"):
        client.classify(tmp_path / "missing.png")


def test_a_file_larger_than_any_server_takes_is_not_read(client: Client, tmp_path: Path) -> None:
    with (tmp_path / "film.mp4").open("wb") as file:
        file.truncate(1024**3 + 1)
    with pytest.raises(DataInvalid, match=r"film\.mp4: 1073741825 bytes are more than any server takes"):
        client.classify(tmp_path / "film.mp4")


def test_a_device_that_never_ends_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fovea.client.request.LARGEST_IMAGE_BYTES", 1000)
    with pytest.raises(DataInvalid, match=r"/dev/zero: 1001 bytes are more than any server takes"):
        encoded("/dev/zero")


def test_a_failure_begins_with_the_name_of_its_image(
    server: ServerProcess, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_bytes(b"no image")
    given: list[Any] = [tmp_path / "notes.txt", str(tmp_path / "missing.png"), tmp_path, b"no image", None]
    begins = [f"{tmp_path}/notes.txt: the bytes ", f"{tmp_path}/missing.png: cannot be read: No such file"]
    begins += [
        f"{tmp_path}: cannot be read: Is a directory",
        "image 3: the bytes ",
        "image 4: an image is a ",
    ]

    async def all_of_them() -> list[Classification | FoveaError]:
        async with AsyncClient(server.target) as caller:
            return [outcome async for outcome in caller.classify_many(given)]

    for outcomes in (list(client.classify_many(given)), asyncio.run(all_of_them())):
        for outcome, beginning in zip(outcomes, begins, strict=True):
            assert isinstance(outcome, FoveaError)
            assert str(outcome).startswith(beginning)
    for image, beginning in zip(given[:3], begins, strict=False):
        with pytest.raises(FoveaError) as raised:
            client.classify(image)
        assert str(raised.value).startswith(beginning)


def test_many_come_back_in_order_and_a_bad_one_spoils_only_itself(client: Client) -> None:
    labels = [tiny.LABELS[index % 3] for index in range(60)]
    images: list[bytes] = [tiny.picture(label, (20 + index, 20)) for index, label in enumerate(labels)]
    images[30] = b"broken"
    answers = list(client.classify_many(images, window=8))
    got = [answer.label if isinstance(answer, Classification) else "failed" for answer in answers]
    assert got == [*labels[:30], "failed", *labels[31:]]


def test_many_takes_no_more_images_than_its_window(client: Client) -> None:
    taken = 0

    def images() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield tiny.picture("red")

    answers = client.classify_many(images(), window=4)
    next(answers)
    assert taken == 4
    answers.close()


def test_closing_the_answers_cancels_what_is_in_flight() -> None:
    with stub_server() as stub, Client(stub.address) as client:
        answers = client.classify_many([b"first", *[HELD] * 8], window=3)
        next(answers)
        assert all(stub.arrived.acquire(timeout=20) for _ in range(3))
        answers.close()
        assert all(stub.ended.acquire(timeout=20) for _ in range(3))


def test_many_leave_out_what_is_below_min_probability(client: Client) -> None:
    (answer,) = client.classify_many([tiny.picture("red")], top_k=3, min_probability=0.9)
    assert isinstance(answer, Classification)
    assert [prediction.label for prediction in answer.predictions] == ["red"]


def test_one_path_is_not_taken_for_many(client: Client) -> None:
    with pytest.raises(TypeError, match="for one there is classify"):
        client.classify_many("cat.jpg")


def test_a_window_without_room_is_refused_at_once(client: Client) -> None:
    for window in (0, -1):
        for kind in (client, AsyncClient("127.0.0.1:1")):
            with pytest.raises(ValueError, match=f"window must be at least 1, not {window}"):
                kind.classify_many([b"image"], window=window)


def test_the_server_is_told_how_urgent_an_image_is() -> None:
    with stub_server() as stub, Client(stub.address) as client:
        client.classify(b"image")
        client.classify(b"image", priority="bulk")
        list(client.classify_many([b"image"]))
    assert [request.priority for request in stub.requests] == [
        classify_pb2.PRIORITY_INTERACTIVE,
        classify_pb2.PRIORITY_BULK,
        classify_pb2.PRIORITY_BULK,
    ]


def test_a_priority_that_there_is_not_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="priority is interactive or bulk, not 'urgent'"):
        client.classify(b"image", priority="urgent")  # type: ignore[arg-type]


def test_a_version_that_is_not_loaded_is_not_found(client: Client) -> None:
    with pytest.raises(CallFailed) as caught:
        client.classify(tiny.picture("red"), model_version=9)
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_an_image_over_the_servers_limit_gets_the_servers_answer(client: Client) -> None:
    with pytest.raises(CallFailed, match="the image has 40000000 bytes, more than 8000000"):
        client.classify(bytes(40_000_000))


def test_an_image_over_grpcs_own_limit_of_4_mb_is_classified(client: Client) -> None:
    picture = tiny.picture("red", (1500, 1200), "BMP")
    assert len(picture) > 5_000_000
    assert client.classify(picture).label == "red"


def test_get_model_tells_labels_and_metrics(client: Client) -> None:
    model = client.get_model()
    assert tuple(model.labels) == tiny.LABELS
    assert model.metrics.images == 12
    assert model.preprocess.size == 16


def test_a_turned_photo_gives_the_same_pixels_by_path_and_as_image(tmp_path: Path) -> None:
    half = Image.new("RGB", (40, 40), "red")
    half.paste("blue", (20, 0, 40, 40))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    half.save(tmp_path / "turned.png", exif=exif)
    path, image = encoded(tmp_path / "turned.png"), encoded(Image.open(tmp_path / "turned.png"))
    np.testing.assert_array_equal(decode_image(path, tiny.SPEC), decode_image(image, tiny.SPEC))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "F", "HSV", "LAB", "L", "I;16", "RGBA", "P", "PA", "1"])
def test_an_image_of_any_mode_can_be_sent(mode: str) -> None:
    assert decode_image(encoded(Image.new(mode, (20, 20))), tiny.SPEC).shape == (16, 16, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((20, 20, 3), np.float32),
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 0, 3), np.uint8),
        None,
    ],
)
def test_what_is_no_image_spoils_only_itself(wrong: Any) -> None:
    with Client("127.0.0.1:1", timeout_s=1) as client:
        (answer,) = client.classify_many([wrong])
    assert isinstance(answer, DataInvalid)


def test_a_wrong_array_is_told_what_is_allowed() -> None:
    with pytest.raises(DataInvalid, match=r"must be uint8 \[height, width, 3\], not int64 \[4, 4\]"):
        encoded(np.zeros((4, 4), np.int64))


def test_no_server_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_retries.patch(monkeypatch)
    with Client("127.0.0.1:1", timeout_s=5) as client, pytest.raises(CallFailed) as caught:
        client.classify(tiny.picture("red"))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert caught.value.exit_code == ExitCode.UNAVAILABLE


def test_a_deadline_amid_the_retries_says_what_was_in_their_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(HELD)

    async def asynchronously(target: str) -> None:
        async with AsyncClient(target, timeout_s=0.3) as client:
            await client.classify("a.png")

    def synchronously(target: str) -> None:
        with Client(target, timeout_s=0.3) as client:
            client.classify("a.png")

    def many(target: str) -> None:
        with Client(target, timeout_s=0.3) as client:
            for outcome in client.classify_many(["a.png"]):
                assert isinstance(outcome, CallFailed)
                raise outcome

    calls: list[Callable[[str], None]] = [
        synchronously,
        many,
        lambda target: asyncio.run(asynchronously(target)),
    ]
    with stub_server(serving=False) as stub, stub_server() as silent:
        met = {
            "127.0.0.1:1": "a.png: Deadline Exceeded: .*127.0.0.1:1: .*Connection refused$",
            stub.address: "a.png: Deadline Exceeded: .*: not ready to serve$",
            silent.address: "a.png: Deadline Exceeded$",
        }
        with ThreadPoolExecutor(len(met) * len(calls)) as threads:
            ends = [(says, threads.submit(call, target)) for target, says in met.items() for call in calls]
        for says, end in ends:
            error = end.exception()
            assert isinstance(error, CallFailed)
            assert re.search(says, str(error))
            assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_deadline_is_always_set() -> None:
    with Client("127.0.0.1:1", timeout_s=1e-4) as client, pytest.raises(CallFailed) as caught:
        client.classify(tiny.picture("red"))
    assert caught.value.code in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
