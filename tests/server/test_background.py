import asyncio
import subprocess
import sys
import threading

import pytest

from fovea.errors import ExitCode
from server.background import in_background
from tests.server.event_loop import in_event_loop
from tests.servers import PATIENCE_S, ROOT


@in_event_loop
async def test_outcome_of_the_work_comes_back() -> None:
    assert await in_background(lambda: 6 * 7) == 42
    with pytest.raises(ZeroDivisionError):
        await in_background(lambda: 1 // 0)


@in_event_loop
async def test_event_loop_goes_on_meanwhile() -> None:
    gate = threading.Event()
    work = asyncio.create_task(in_background(lambda: gate.wait(20)))
    await asyncio.sleep(0)
    gate.set()
    assert await work


@in_event_loop
async def test_work_that_was_given_up_ends_in_silence() -> None:
    gate = threading.Event()
    work = asyncio.create_task(in_background(lambda: gate.wait(20)))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    gate.set()
    assert await in_background(lambda: True)


PROGRAM = """
import asyncio, threading
from fovea import exits
from fovea.errors import Unavailable
from server.background import in_background

async def give_up():
    work = asyncio.create_task(in_background(threading.Event().wait))
    await asyncio.sleep(0)
    work.cancel()
    raise Unavailable("gone")

exits.run(lambda: asyncio.run(give_up()))
"""


def test_program_leaves_while_work_still_runs() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, timeout=PATIENCE_S, check=False)
    assert ended.returncode == ExitCode.UNAVAILABLE
