"""The process of a front, from the server's side: started with what it needs, and ended."""

import asyncio
import json
import socket
from dataclasses import asdict
from typing import Final

from server.background import in_background
from server.compute import child
from server.compute.child import Child
from server.fronts import frames
from server.fronts.process import NAME, SetUp

MODULE: Final = "server.fronts.process"
ENDS_WITHIN_S: Final = 2.0
"""It has nothing to save but lines of the log."""


def start_front(set_up: SetUp, arena: int, page: int) -> tuple[socket.socket, Child]:
    """Takes some milliseconds, and wants the main thread: the process ends with the thread that starts it.

    `arena` and `page` are descriptors. Raises OSError.
    """
    content = json.dumps(asdict(set_up)).encode()
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = child.start(MODULE, NAME, theirs)
        except BaseException:
            ours.close()
            raise
        try:
            socket.send_fds(ours, [frames.HEADER.pack(frames.SET_UP, len(content))], [arena, page])
            ours.sendall(content)
            ours.setblocking(False)
        except BaseException:
            ours.close()
            process.kill()
            process.wait()
            raise
    return ours, process


async def end_front(process: Child) -> None:
    """It ends by itself when its socket is closed; one that hangs is killed."""
    ending = asyncio.ensure_future(in_background(process.wait))
    done, _ = await asyncio.wait((ending,), timeout=ENDS_WITHIN_S)
    if not done:
        process.kill()
    await ending
