"""What a program would make of its pod's arguments and variables."""

import os
from functools import cache
from typing import Any

import pytest

from fovea.settings import load
from scorer.__main__ import COMMANDS
from scorer.cluster.job import job_body
from server.config import ServeSettings
from tests.deploy.manifests import JOB_NAME, Workload, pods_of
from trainer.config import ExportSettings, LrFindSettings, TrainSettings

WORKERS = 4


def settings_of(pods: Workload, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings that the container's program reads from its arguments and variables."""
    pods = as_created(pods)
    for name in [name for name in os.environ if name.startswith("FOVEA_")]:
        monkeypatch.delenv(name)
    for name, value in pods.environment().items():
        monkeypatch.setenv(name, value)
    around = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    words = (*pods.container["command"], *pods.arguments())
    return _load(words, tuple(sorted(around.items())))


@cache
def _load(words: tuple[str, ...], environment: tuple[tuple[str, str], ...]) -> Any:
    """`environment` is this process's. Once for each pod: most compositions share most of theirs."""
    match words:
        case ["python", "-m", "server", *options]:
            return load(ServeSettings, options, "server")
        case ["python", "-m", "scorer", command, *options]:
            siblings = [other.settings for other in COMMANDS.values()]
            return load(COMMANDS[command].settings, options, f"scorer {command}", siblings)
        case ["python", "-m", "trainer", "train", *options]:
            return load(TrainSettings, options, "trainer train", [LrFindSettings, ExportSettings])
        case other:
            raise AssertionError(f"{other} is no program of Fovea")


def as_created(pods: Workload) -> Workload:
    """The workers' pods as those of the Job that the driver makes of their template; others as they are."""
    if pods.container["name"] != "worker":
        return pods
    template = {"apiVersion": "batch/v1", "kind": "Job", **pods.manifest["spec"]["jobTemplate"]}
    output = pods.rendering.pods("fovea-score").environment()["FOVEA_SCORE_OUTPUT"]
    return pods_of(job_body(template, output, JOB_NAME, WORKERS), pods.rendering)
