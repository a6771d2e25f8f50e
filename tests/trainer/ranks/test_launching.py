import signal
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.launcher import api as launcher
from torch.distributed.launcher.api import LaunchConfig

from fovea.errors import DataInvalid, ExitCode, Terminated, Unavailable
from trainer.ranks import launching
from trainer.ranks.launching import SAVED_WITHIN_S, _time_to_save
from trainer.ranks.outcome import Followed


@dataclass
class OfTorch211:
    min_nodes: int


def test_a_launcher_that_takes_no_time_to_save_is_given_none() -> None:
    """torch 2.11's raises at an option that it does not know."""
    assert _time_to_save(OfTorch211) == {}
    assert _time_to_save(LaunchConfig) == {"shutdown_timeout": SAVED_WITHIN_S}


@dataclass
class Ranks:
    """In torch's place: runs each rank here, and is then told to stop."""

    work: Callable[..., None]
    number: signal.Signals

    def __call__(self, *arguments: object) -> None:
        for _ in range(2):
            self.work(*arguments)
        raise SignalException("", self.number)


@pytest.mark.parametrize(
    ("ends", "number", "code"),
    [
        ([Terminated(), Terminated()], signal.SIGTERM, 143),
        ([KeyboardInterrupt(), KeyboardInterrupt()], signal.SIGINT, 130),
        ([Unavailable("no room"), Followed(0, 69, "no room")], signal.SIGTERM, 69),
        ([Terminated(), DataInvalid("bad")], signal.SIGTERM, 65),
        ([None, None], signal.SIGTERM, 0),
        ([None, Terminated()], signal.SIGTERM, 143),
    ],
)
def test_ranks_that_are_told_to_stop_and_fail_end_with_what_they_failed_with(
    ends: list[BaseException | None], number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "elastic_launch", lambda _, work: Ranks(work, number))
    for name in ("os.setpgrp", "exits.leave", "stopping.finish", "surroundings.settle", "signal.signal"):
        monkeypatch.setattr(f"trainer.ranks.launching.{name}", lambda *_: None)
    left = iter(ends)

    def work(_: object) -> None:
        if error := next(left):
            raise error

    assert launching.launch(2, work, None) == code


def test_rank_that_was_killed_as_it_was_to_stop_is_told_of_where_the_others_do_not() -> None:
    with pytest.raises(Unavailable, match=r"a rank was killed as it was to stop; .* --run-id goes on"):
        launching._code_after(ExitCode.TERMINATED, [ExitCode.UNAVAILABLE], 2)
    # Before they had got ready for it they tell nothing.
    assert launching._code_after(ExitCode.TERMINATED, [], 2) == 143
