"""Frames between the server and a front, however the kernel cuts them."""

import asyncio
import socket

from fovea.errors import DataInvalid, ImageInvalid, Unavailable
from fovea.model.bundle import ModelBundle
from server.errors import ComputeFailed, DeadlinePassed, Draining, NoModelReady
from server.fronts import frames
from server.fronts.frames import Link
from server.fronts.told import FIGURES, LiveModel, error_from_json, error_to_json
from server.models.model import CallTallies, CallTimes, ModelFigures, Tally
from tests.server.event_loop import in_event_loop

SENT = [(b"I", b"one"), (b"C", b""), (b"I", bytes(range(256)) * 3000), (b"A", b"last")]


@in_event_loop
async def test_frames_come_as_they_were_sent_whatever_their_pieces() -> None:
    whole = b"".join(frames.HEADER.pack(kind, len(content)) + content for kind, content in SENT)
    for size in (1, 3, 5, 4096, 200_000, len(whole)):
        came: list[tuple[bytes, bytes]] = []
        link = Link(lambda kind, content, came=came: came.append((kind, bytes(content))), lambda: None)  # type: ignore[misc]
        for at in range(0, len(whole), size):
            link.data_received(whole[at : at + size])
            if size == 1 and len(came) == 2:
                break  # of the long one a byte at a time tells nothing new
        assert came == (SENT[:2] if size == 1 else SENT)


@in_event_loop
async def test_what_is_sent_in_a_turn_of_the_loop_goes_out_at_once_and_the_end_is_told() -> None:
    ours, theirs = socket.socketpair()
    came: list[tuple[bytes, bytes]] = []
    lost = asyncio.Event()
    loop = asyncio.get_running_loop()
    here = Link(lambda kind, content: None, lambda: None)
    there = Link(lambda kind, content: came.append((kind, bytes(content))), lost.set)
    await loop.create_unix_connection(lambda: here, sock=ours)
    await loop.create_unix_connection(lambda: there, sock=theirs)
    for kind, content in SENT:
        here.send(kind, content[:2], content[2:])
    assert not came
    here.close()
    await lost.wait()
    assert came == SENT
    here.send(b"I", b"to nobody")
    there.send(b"I", b"to nobody")


def test_errors_cross_with_what_their_callers_may_know() -> None:
    for error in (
        *(DeadlinePassed("late"), Draining("ends"), NoModelReady("none"), ComputeFailed("failed")),
        *(Unavailable("port"), DataInvalid("certificate")),
    ):
        crossed = error_from_json(error_to_json(error))
        assert (type(crossed), str(crossed)) == (type(error), str(error))
    bad = error_from_json(error_to_json(ImageInvalid("empty", "the image is empty")))
    assert isinstance(bad, ImageInvalid)
    assert (bad.reason, str(bad)) == ("empty", "the image is empty")
    bug = error_from_json(error_to_json(ZeroDivisionError("a bug")))
    assert (type(bug), str(bug)) == (ComputeFailed, "ZeroDivisionError: a bug")


def test_a_model_and_its_figures_cross_whole(tiny_bundle: ModelBundle) -> None:
    live = LiveModel(
        name="tiny",
        generation=3,
        contract=tiny_bundle.contract,
        digest="digest",
        provider="CPUExecutionProvider",
        precision="fp32",
    )
    assert LiveModel.model_validate_json(live.model_dump_json()) == live
    calls = CallTallies()
    calls.add(CallTimes(True, 5, 1.0, 0.25, 0.5, 0.125, 0.0625))
    calls.add(CallTimes(False, 7, 2.0))
    figures = ModelFigures(9, {4: Tally(2, 0.5)}, {"tiny": calls})
    told = frames.to_json(FIGURES.dump_python(figures, mode="json"))
    assert FIGURES.validate_python(frames.from_json(memoryview(told))) == figures
