"""How a process finds the other ranks: where the environment says that there are some, as torchrun, a
TrainJob of Kubeflow or an Indexed Job of Kubernetes do."""

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Final, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from fovea import daemons, foreground
from fovea.errors import ExitCode, SettingsInvalid, Unavailable
from fovea.logs import OURS
from trainer.options import Device
from trainer.ranks.agreement import DEVICES
from trainer.ranks.asked import Asked
from trainer.ranks.board import Board
from trainer.ranks.group import Share
from trainer.ranks.kubeflow import as_of_a_rank
from trainer.ranks.outcome import Followed, is_of_a_peer
from trainer.ranks.roll import BETWEEN_TRIES_S, call_the_roll
from trainer.ranks.together import Place, Together
from trainer.ranks.watch import watching

T = TypeVar("T")

VARIABLES: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
DEFAULT_PORT: Final = 29500
"""Kubeflow's and torch's own"""
GRACE_S: Final = 2.0
LISTENS_WITHIN_S: Final = 5.0


@dataclass(frozen=True)
class Invitation:
    """What the environment says of a rank and where the others meet."""

    share: Share
    local_rank: int
    local_world: int
    """ranks on this machine"""
    node: int
    address: str
    """where the first rank, or the agent that started it, has the store"""
    port: int
    attempt: str
    by_agent: bool
    """whether an agent has the store, and not the first rank"""


def invitation(environment: Mapping[str, str]) -> Invitation | None:
    """None where this process is alone. Raises SettingsInvalid for variables that do not fit together."""
    environment = as_of_a_rank(environment)
    world = _number(environment, "WORLD_SIZE", 1, lowest=1)
    if world == 1:
        return None
    missing = [name for name in ("RANK", "MASTER_ADDR") if not environment.get(name)]
    if missing:
        text = f"WORLD_SIZE is {world}, so {missing[0]} is needed too: {_MEANINGS[missing[0]]}"
        raise SettingsInvalid(text)
    rank = _number(environment, "RANK", 0)
    if rank >= world:
        raise SettingsInvalid(f"RANK should be below WORLD_SIZE, which is {world}, not {rank}")
    local_world = _number(environment, "LOCAL_WORLD_SIZE", 1, lowest=1)
    return Invitation(
        Share(rank, world),
        local_rank=_number(environment, "LOCAL_RANK", 0),
        local_world=local_world,
        # Without a launcher that says so, each process has a machine, or at least a cache, of its own.
        node=_number(environment, "GROUP_RANK", rank),
        address=environment["MASTER_ADDR"],
        port=_number(environment, "MASTER_PORT", DEFAULT_PORT, lowest=1),
        attempt=environment.get("TORCHELASTIC_RESTART_COUNT", "0"),
        by_agent=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


_MEANINGS: Final = {
    "RANK": "the number of this process, from 0",
    "MASTER_ADDR": "the address of the process with RANK 0",
}


def _number(environment: Mapping[str, str], name: str, default: int, lowest: int = 0) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < lowest:
        raise SettingsInvalid(f"{name} should be a whole number from {lowest}, not {text!r}")
    return int(text)


@contextmanager
def joined(invited: Invitation, device: Device, patience_s: float) -> Iterator[Together]:
    """Takes part, and ends as all end: see `Together.hearing`. Of a machine's ranks one is seen and heard.

    Waits for the others for `patience_s`, and later as long for each step of theirs. Raises Unavailable when
    the address has no answer, or not the right one, or ranks do not come; SettingsInvalid when some have GPUs
    and others none.
    """
    if invited.local_rank != 0:
        _be_quiet()
    on_gpu = device != "cpu" and torch.cuda.is_available()
    own = torch.device("cuda", invited.local_rank) if on_gpu else torch.device("cpu")
    board = _meet(invited, patience_s)
    ranks = Together(Place(invited.node, invited.local_rank), board, own)
    try:
        with ranks.hearing(), watching(board.store, board.share, patience_s):
            ranks.confirm(DEVICES, lambda: {"device": own.type})
            _form_group(board, own, patience_s)
            yield ranks
    except Followed as ended:
        if ended.rank == board.share.rank:  # whose watch has told it
            raise Unavailable(ended.reason) from ended
        if ended.exit_code != ExitCode.DONE:
            raise
    dist.destroy_process_group()


class _FirstGone(Unavailable):
    """Who was there as the first rank is no more, and another may come to its place."""


def _meet(invited: Invitation, patience_s: float) -> Board:
    until = time.monotonic() + patience_s
    while True:
        try:
            return _meet_once(invited, patience_s, until)
        except _FirstGone:
            if time.monotonic() >= until:
                raise
            foreground.sleep(BETWEEN_TRIES_S)


def _meet_once(invited: Invitation, patience_s: float, until: float) -> Board:
    _resolve(invited, until)
    if not _has_store(invited):
        _wait_for_listener(invited, patience_s, until)
    store = Asked(_find_store(invited, patience_s, until), patience_s)
    hurried = replace(store, patience_s=max(BETWEEN_TRIES_S, until - time.monotonic()))
    try:
        call_the_roll(hurried, invited.share, until, patience_s, may_return=not invited.by_agent)
    except RuntimeError as error:
        if not is_of_a_peer(error):
            raise
        raise _without_first(invited, "rank 0 has gone before all had met") from error
    return Board(store, invited.share, is_host=_has_store(invited))


def _without_first(invited: Invitation, problem: str) -> Unavailable:
    kind = Unavailable if invited.by_agent or _has_store(invited) else _FirstGone
    return kind(f"{_where(invited)}: {problem}")


def _form_group(board: Board, device: torch.device, patience_s: float) -> None:
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=PrefixStore("group", board.store.store),
        rank=board.share.rank,
        world_size=board.share.world,
        timeout=timedelta(seconds=patience_s),
    )


def _be_quiet() -> None:
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (to the end of the process)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.ERROR)


def _resolve(invited: Invitation, until: float) -> None:
    """torch says of a name that nobody knows that the time is up; and a pod's may be known a little later."""
    while True:
        try:
            foreground.interruptibly(lambda: socket.getaddrinfo(invited.address, invited.port))
            return
        except socket.gaierror as error:
            if time.monotonic() >= until:
                text = f"MASTER_ADDR {invited.address!r}: there is no such host ({error.strerror})"
                raise Unavailable(text) from error
            foreground.sleep(BETWEEN_TRIES_S)


def _wait_for_listener(invited: Invitation, patience_s: float, until: float) -> None:
    """torch would wait too, and say in words of its own that nobody came."""
    place = (invited.address, invited.port)
    while True:
        try:
            foreground.interruptibly(lambda: socket.create_connection(place, LISTENS_WITHIN_S)).close()
            return
        except OSError as error:
            if time.monotonic() >= until:
                text = f"{_where(invited)}: no rank 0 there after {patience_s:g} s ({error})"
                raise Unavailable(text) from error
            foreground.sleep(BETWEEN_TRIES_S)


def _find_store(invited: Invitation, patience_s: float, until: float) -> Store:
    """A client waits longer than it is told where something else listens, so that we have to watch it."""

    def connect() -> Store:
        return TCPStore(
            invited.address,
            invited.port,
            invited.share.world,
            is_master=_has_store(invited),
            timeout=timedelta(seconds=patience_s),
            wait_for_workers=False,
            multi_tenant=True,
        )

    try:
        store = _within(connect, until)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        problem = "cannot listen there" if _has_store(invited) else "rank 0 has gone, or is none"
        raise _without_first(invited, f"{problem} ({reason})") from error
    if store is None:
        raise Unavailable(
            f"{_where(invited)}: something answers there after {patience_s:g} s, but not as rank 0 would"
        )
    return PrefixStore(f"fovea/{invited.attempt}", store)


def _within(call: Callable[[], T], until: float) -> T | None:
    """Its result, or None when it is left behind; `GRACE_S` later than its own time is up."""
    result, done = daemons.begin(call), Event()
    result.add_done_callback(lambda _: done.set())
    foreground.wait_for(done, max(0.0, until - time.monotonic()) + GRACE_S)
    return result.result() if result.done() else None


def _has_store(invited: Invitation) -> bool:
    return invited.share.rank == 0 and not invited.by_agent


def _where(invited: Invitation) -> str:
    return f"MASTER_ADDR {invited.address!r}, MASTER_PORT {invited.port}"
