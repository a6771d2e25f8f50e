"""How ranks find each other, and what is said where they do not."""

import socket
import time
from pathlib import Path

import pytest
import torch

from fovea.errors import SettingsInvalid
from tests.trainer.ranks.starting import ends, free_port, options, start_alone, start_rank
from trainer.ranks.group import Share
from trainer.ranks.joining import GRACE_S, invitation

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "GROUP_RANK": "1",
    "MASTER_ADDR": "train-0.train",
    "MASTER_PORT": "1234",
}


def test_the_environment_tells_which_rank_of_how_many() -> None:
    invited = invitation(TORCHRUN)
    assert invited is not None
    assert (invited.share, invited.local_rank, invited.local_world) == (Share(3, 4), 1, 2)
    assert (invited.node, invited.address, invited.port) == (1, "train-0.train", 1234)
    bare = invitation({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a"})
    assert bare is not None
    assert (bare.node, bare.local_rank, bare.local_world) == (1, 0, 1)


def test_a_process_by_itself_joins_nobody() -> None:
    for environment in ({}, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": ""}, {"RANK": "0", "MASTER_ADDR": "a"}):
        assert invitation(environment) is None


TRAIN_JOB = {
    "PET_NNODES": "2",
    "PET_NPROC_PER_NODE": "1",
    "PET_NODE_RANK": "1",
    "PET_MASTER_ADDR": "pets-node-0-0.pets",
    "PET_MASTER_PORT": "1234",
}


def test_a_train_job_of_kubeflow_tells_it_in_words_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for ranks in ("1", "auto"):
        invited = invitation({**TRAIN_JOB, "PET_NPROC_PER_NODE": ranks})
        assert invited is not None
        assert (invited.share, invited.node, invited.local_world) == (Share(1, 2), 1, 1)
        assert (invited.address, invited.port) == ("pets-node-0-0.pets", 1234)
    assert invitation({**TRAIN_JOB, "PET_NNODES": "1", "PET_NODE_RANK": "0"}) is None
    started = invitation({**TRAIN_JOB, **TORCHRUN, "PET_NPROC_PER_NODE": "2"})
    assert started == invitation(TORCHRUN), "torchrun leaves its own variables to those that it starts"

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for ranks, count in (("auto", 4), ("8", 8)):
        with pytest.raises(
            SettingsInvalid, match=f"PET_NPROC_PER_NODE is '{ranks}', {count} ranks on a node"
        ):
            invitation({**TRAIN_JOB, "PET_NPROC_PER_NODE": ranks})


def test_variables_that_do_not_fit_together_are_refused() -> None:
    cases = [
        ({"RANK": ""}, "WORLD_SIZE is 4, so RANK is needed too"),
        ({"MASTER_ADDR": ""}, "so MASTER_ADDR is needed too"),
        ({"RANK": "4"}, "RANK should be below WORLD_SIZE, which is 4, not 4"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE should be a whole number from 1, not 'two'"),
        ({"MASTER_PORT": "-1"}, "MASTER_PORT should be a whole number from 1"),
    ]
    for changes, said in cases:
        with pytest.raises(SettingsInvalid, match=said):
            invitation({**TORCHRUN, **changes})


def test_a_rank_that_does_not_find_the_others_says_what_is_wrong(tmp_path: Path) -> None:
    """A name that nobody knows, nobody there, somebody else there, a rank that does not come."""
    patience_s = 1.0
    arguments = ("train", *options(tmp_path, tmp_path, ranks_patience_s=patience_s))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        processes = [
            start_rank(1, 2, free_port(), *arguments),
            start_rank(1, 2, silent.getsockname()[1], *arguments),
            start_rank(0, 3, free_port(), *arguments),
        ]
        started = time.monotonic()
        (nobody, other, missing) = ends(processes)
        assert time.monotonic() - started < 30 * patience_s + GRACE_S
    assert [code for code, _ in (nobody, other, missing)] == [69, 69, 69]
    assert "no rank 0 there after 1 s" in nobody[1]
    assert "something answers there after 1 s, but not as rank 0 would" in other[1]
    assert "1 of 3 ranks are here after 1 s; missing is rank 1" in missing[1]


def test_a_name_that_does_not_resolve_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "train-0.invalid"}.items():
        monkeypatch.setenv(name, value)
    process = start_alone("train", *options(tmp_path, tmp_path, ranks_patience_s=0.1))
    ((code, said),) = ends([process])
    assert (code, "MASTER_ADDR 'train-0.invalid': there is no such host" in said) == (69, True), said


def test_a_rank_does_not_start_ranks(tmp_path: Path) -> None:
    process = start_rank(1, 2, free_port(), "train", *options(tmp_path, tmp_path, nproc_per_node=2))
    ((code, said),) = ends([process])
    assert (code, "--nproc-per-node 2: WORLD_SIZE 2 says" in said) == (2, True), said
