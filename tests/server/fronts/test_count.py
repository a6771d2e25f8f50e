"""How many fronts there are."""

import os

import pytest

from fovea.errors import SettingsInvalid
from fovea.settings import load
from server.config import PROGRAM, ServeSettings
from server.fronts import count
from server.fronts.count import fronts_for, fronts_of


def settings(*flags: str) -> ServeSettings:
    return load(ServeSettings, ["--models", "unused", *flags], PROGRAM)


def test_many_cores_and_a_gpu_want_more_fronts_and_few_cores_one() -> None:
    of_cpus = {cores: fronts_for(cores, has_gpu=False) for cores in (1, 4, 7, 8, 16, 24, 64)}
    assert of_cpus == {1: 1, 4: 1, 7: 1, 8: 2, 16: 3, 24: 4, 64: 4}
    beside_a_gpu = {cores: fronts_for(cores, has_gpu=True) for cores in (1, 3, 4, 8, 16)}
    assert beside_a_gpu == {1: 1, 3: 1, 4: 2, 8: 3, 16: 4}


def test_what_is_named_is_taken_and_auto_looks_at_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fronts_of(settings("--fronts", "3")) == 3
    cases: list[tuple[int, tuple[str, ...], int]] = [
        *((2, (), 1), (16, (), 3)),
        *((16, ("--threads", "4"), 1), (2, ("--threads", "16"), 1)),
    ]
    for cores, threads, expected in cases:
        monkeypatch.setattr(count, "available_cpus", lambda cores=cores: cores)
        assert fronts_of(settings("--provider", "cpu", *threads)) == expected
    monkeypatch.setattr(count, "available_cpus", lambda: 8)
    assert fronts_of(settings("--provider", "cuda")) == 3


def test_several_are_refused_where_there_is_no_memory_to_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert fronts_of(settings("--fronts", "1")) == fronts_of(settings()) == 1
    with pytest.raises(SettingsInvalid, match="--fronts"):
        fronts_of(settings("--fronts", "2"))


@pytest.mark.parametrize("value", ["0", "17", "two", "-1", "1.5", ""])
def test_no_other_numbers_are_taken(value: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"--fronts .*must be auto or a number from 1 to 16"):
        settings(f"--fronts={value}")
