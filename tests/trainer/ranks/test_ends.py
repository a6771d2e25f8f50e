"""Whatever ends one rank ends all, and the same command goes on."""

import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.programs import Program
from tests.trainer.interruptions import assert_same_end
from tests.trainer.ranks.starting import (
    RELEASING,
    ends,
    free_port,
    options,
    start_alone,
    start_rank,
    start_ranks,
)
from trainer.network.checkpoint import CHECKPOINT_FILE


@pytest.mark.slow
def test_sigterm_at_any_rank_ends_all_and_the_run_goes_on_as_if_nothing_had_happened(
    few_digits: Path, tmp_path: Path
) -> None:
    """With batch norm's statistics, dropout, images that are mixed and weights that are averaged. Of three
    ranks, for the sum of two is the same in whatever order."""
    recipe = {"epochs": 4, "accumulate": 2, "mixup": 0.4, "ema": 0.9}
    long = ("train", *options(few_digits, tmp_path, **recipe))
    straight = options(few_digits, tmp_path, **recipe, run_id="straight", cache_dir=tmp_path / "other")
    undisturbed = start_ranks(3, "train", *straight)
    ranks = start_ranks(3, *long)
    _wait_for_epoch(ranks[0])
    ranks[1].send_signal(signal.SIGTERM)
    ended = ends(ranks)
    assert [code for code, _ in ended] == [143, 143, 143]
    assert ["saved: the same command" in said for _, said in ended] == [True, False, False]
    saved = _training(tmp_path / "runs" / "a")
    assert saved["made_on"]["ranks"] == 3
    assert len(saved["state"]["records"]) in {1, 2, 3}, "it was to be broken off on the way"
    assert [code for code, _ in ends([*start_ranks(3, *long), *undisturbed])] == [65] * 6
    assert_same_end(tmp_path / "runs" / "a", tmp_path / "runs" / "straight")


def test_a_rank_that_is_killed_ends_all_at_once(few_digits: Path, tmp_path: Path) -> None:
    ranks = start_ranks(2, "train", *options(few_digits, tmp_path, epochs=1000, checkpoint_every=1))
    _wait_for_epoch(ranks[0])
    ranks[1].kill()
    ((code, said), (killed, _)) = ends(ranks)
    assert (code, killed) == (69, -signal.SIGKILL)
    assert "error: another rank has gone without a word" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_rank_that_hangs_ends_all_when_patience_is_at_an_end(few_digits: Path, tmp_path: Path) -> None:
    """The first one too, which has the store: a call to that does not come back."""
    for hangs in (1, 0):
        arguments = options(few_digits, tmp_path, epochs=1000, ranks_patience_s=3, run_id=hangs)
        ranks = start_ranks(2, "train", *arguments)
        _wait_for_epoch(ranks[0])
        _assert_ends_without(ranks[hangs], ranks[1 - hangs])


@pytest.mark.slow
def test_what_ends_a_rank_that_waits_for_the_release_ends_the_release(
    few_digits: Path, tmp_path: Path
) -> None:
    """Its machine is drained, or away: there is nothing that both do together."""
    cases = [
        (signal.SIGTERM, [143, 143], "stopped by SIGTERM"),
        (signal.SIGKILL, [69, -signal.SIGKILL], "rank 1 did not answer within --ranks-patience-s"),
    ]
    for number, codes, said in cases:
        arguments = options(few_digits, tmp_path, run_id=number.name, ranks_patience_s=4)
        ranks = start_ranks(2, "train", *arguments, module=RELEASING)
        _wait_for_epoch(ranks[0])
        assert ranks[0].stdout is not None
        assert ranks[0].stdout.readline() == "releasing\n"
        ranks[1].send_signal(number)
        outcomes = ends(ranks)
        assert [code for code, _ in outcomes] == codes, outcomes
        assert said in outcomes[0][1]


@pytest.mark.slow
def test_a_rank_that_waits_for_the_release_ends_when_the_first_one_is_lost(
    few_digits: Path, tmp_path: Path
) -> None:
    """It ends as one that lost another, and not as one that was asked to."""
    for number in (signal.SIGKILL, signal.SIGSTOP):
        arguments = options(few_digits, tmp_path, run_id=number.name, ranks_patience_s=4)
        ranks = start_ranks(2, "train", *arguments, module=RELEASING)
        _wait_for_epoch(ranks[0])
        assert ranks[0].stdout is not None
        assert ranks[0].stdout.readline() == "releasing\n"
        said = "did not answer" if number == signal.SIGSTOP else "gone without a word"
        _assert_ends_without(ranks[0], ranks[1], number, said)


@pytest.mark.slow
def test_rank_that_is_started_anew_ends_those_that_lost_it_and_goes_on_with_a_new_first_one(
    few_digits: Path, tmp_path: Path
) -> None:
    """As a Job does it, while the first one releases and would not hear of it for a minute."""
    arguments, port = ("train", *options(few_digits, tmp_path, epochs=1)), free_port()
    first, lost = (start_rank(rank, 2, port, *arguments, module=RELEASING) for rank in range(2))
    assert first.stdout is not None
    while first.stdout.readline() != "releasing\n":
        pass
    lost.kill()
    returned = start_rank(1, 2, port, *arguments, module=RELEASING)
    try:
        ((code, said),) = ends([first], within_s=45)
        assert (code, "rank 1 was started anew, so the one before has gone" in said) == (69, True), said
        again = start_rank(0, 2, port, *arguments, module=RELEASING)
        assert again.stdout is not None
        assert again.stdout.readline() == "releasing\n"
        again.send_signal(signal.SIGTERM)
        assert [code for code, _ in ends([again, returned])] == [143, 143]
    finally:
        for process in (lost, returned):
            process.kill()
            process.wait()


def test_what_ends_the_first_rank_alone_ends_all_the_same(few_digits: Path, tmp_path: Path) -> None:
    """A folder that is no run's, which only the first one looks at."""
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "something").touch()
    (first, other) = ends(start_ranks(2, "train", *options(few_digits, tmp_path)))
    assert (first[0], other[0]) == (2, 2)
    assert "holds something that is no run" in first[1]
    assert "rank 0 has ended, and all with it" in other[1]


@pytest.mark.slow
def test_ranks_that_one_command_starts_end_it_with_their_own_code(tmp_path: Path) -> None:
    """One line says why, although each of them found the same."""
    missing = tmp_path / "nothing here"
    process = start_alone("train", *options(missing, tmp_path, nproc_per_node=2), module="trainer")
    ((code, said),) = ends([process])
    assert code == 65
    assert [line for line in said.splitlines() if "nothing here" in line] == said.splitlines()
    assert said.count("\n") == 1


@pytest.mark.slow
def test_a_signal_to_the_command_that_started_the_ranks_saves_once(few_digits: Path, tmp_path: Path) -> None:
    """And the same command goes on."""
    arguments = options(few_digits, tmp_path, epochs=1000, nproc_per_node=2)
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = start_alone("train", *arguments, module="trainer")
        _wait_for_epoch(process)
        process.send_signal(number)
        ((ended, said),) = ends([process])
        assert ended == code
        assert len(re.findall("saved: the same command", said)) == 1
    assert "going on with the run a" in said
    assert len(_training(tmp_path / "runs" / "a")["state"]["records"]) >= 2


@pytest.mark.slow
def test_command_whose_ranks_cannot_save_when_they_are_to_stop_ends_as_they_do(
    few_digits: Path, tmp_path: Path
) -> None:
    """As a single process does: 143 would say that it was saved."""
    arguments = options(few_digits, tmp_path, epochs=1000, nproc_per_node=2)
    process = start_alone("train", *arguments, module="tests.trainer.ranks.full")
    _wait_for_epoch(process)
    process.send_signal(signal.SIGTERM)
    ((code, said),) = ends([process])
    assert (code, said.count("error: there is no room left")) == (69, 1), said
    assert "saved" not in said


@pytest.mark.slow
def test_command_that_is_to_stop_does_not_wait_for_a_rank_that_is_done() -> None:
    process = start_alone(module="tests.trainer.ranks.uneven")
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    time.sleep(1)  # so that the other is done too
    process.send_signal(signal.SIGTERM)
    ((code, said),) = ends([process], within_s=30)
    assert (code, said) == (143, "error: stopped by SIGTERM\n")


@pytest.mark.slow
def test_ctrl_c_while_ranks_load_their_libraries_shows_none_of_them(few_digits: Path, tmp_path: Path) -> None:
    process = start_alone("train", *options(few_digits, tmp_path, nproc_per_node=2), module="trainer")
    _wait_for_processes(process.pid, 2)
    process.send_signal(signal.SIGINT)
    ((code, said),) = ends([process])
    assert (code, {*said.splitlines()}) == (130, {"interrupted"}), said


def _wait_for_processes(parent: int, count: int) -> None:
    """Of those that Python's multiprocessing starts anew."""
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        commands = [Path(f"/proc/{child}/cmdline").read_text() for child in children]
        if sum("spawn_main" in command for command in commands) == count:
            return
        time.sleep(0.05)
    raise AssertionError(f"there are not {count} processes")


def _assert_ends_without(
    lost: Program, other: Program, number: signal.Signals = signal.SIGSTOP, said: str = "did not answer"
) -> None:
    lost.send_signal(number)
    try:
        code = other.wait(150)
    finally:
        lost.kill()
    assert (code, said in (text := other.communicate()[1])) == (69, True), text


def _wait_for_epoch(process: Program) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert '"epoch"' in line, process.communicate()[1]


def _training(run: Path) -> dict[str, dict[str, Any]]:
    content = torch.load(run / CHECKPOINT_FILE, weights_only=True)
    training: dict[str, dict[str, Any]] = content["training"]
    return training
