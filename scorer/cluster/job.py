"""The Indexed Job whose pods score a run: its name, and its body, made from a template."""

import copy
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from fovea.errors import ExitCode, SettingsInvalid
from fovea.settings import variable
from scorer.config import WorkSettings

Body = dict[str, Any]
"""A Job as the Kubernetes API has it."""

NAME_LENGTH: Final = 52
"""A pod's host name is the Job's name and its index, and has 63 characters at most."""

NO_VARIABLES: Final[Mapping[str, str]] = {}
_COMMAND: Final = {"command": ["python", "-m", "scorer"], "args": ["work"]}
_LABELS: Final = {"app.kubernetes.io/name": "fovea-score", "app.kubernetes.io/component": "scoring"}


def job_name(run: str) -> str:
    """A DNS label that is the run's alone: with a part of its digest unless its own name will do."""
    suffix = "-work"
    plain = re.sub("[^a-z0-9]+", "-", run.lower()).strip("-")
    if plain != run or len(plain + suffix) > NAME_LENGTH:
        suffix = f"-{hashlib.sha256(run.encode()).hexdigest()[:8]}{suffix}"
    return plain[: NAME_LENGTH - len(suffix)].rstrip("-") + suffix


def read_template(path: Path) -> Body:
    """Raises SettingsInvalid when the file is not there, or is not a Job with a container."""
    try:
        job = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise _bad_template(path, f"cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _bad_template(path, f"is not one YAML document: {error}") from error
    if not isinstance(job, dict) or (job.get("apiVersion"), job.get("kind")) != ("batch/v1", "Job"):
        raise _bad_template(path, "should be a Job of batch/v1")
    try:
        named = all(isinstance(container["name"], str) for container in _containers(job)[:1])
    except (KeyError, TypeError, AttributeError):
        named = False
    if not named:
        raise _bad_template(path, "has no spec.template.spec.containers with a name")
    return job


def job_body(
    template: Body, output: str, run: str, completions: int, carried: Mapping[str, str] = NO_VARIABLES
) -> Body:
    """The template with all that makes it this run's. Of its containers, the first is the one that works.

    How failures are dealt with is the template's choice; what it leaves open is filled in. `carried` are
    variables of its environment beside ours.
    """
    job, name = copy.deepcopy(template), job_name(run)
    spec, container = job["spec"], _containers(job)[0]
    metadata, pods = _mapping(job, "metadata"), spec["template"]
    for each in (metadata, _mapping(pods, "metadata")):
        each["labels"] = {**_LABELS, **(each.get("labels") or {}), "app.kubernetes.io/instance": name}
    for theirs in ("generateName", "namespace"):
        metadata.pop(theirs, None)
    metadata["name"] = name
    job["spec"] = {**_failure_defaults(container["name"], completions), **spec}
    job["spec"] |= {"completionMode": "Indexed", "completions": completions, "parallelism": completions}
    pods["spec"].setdefault("restartPolicy", "Never")
    if not {"command", "args"} & set(container):
        container.update(copy.deepcopy(_COMMAND))
    ours = {"output": output, "run_id": run, "completions": str(completions)}
    _set_environment(container, {_variable(name): value for name, value in ours.items()} | dict(carried))
    return job


def scores(job: Body) -> tuple[str | None, str | None]:
    """The output and the run that a Job's pods work on."""
    given = {variable["name"]: variable.get("value") for variable in _containers(job)[0].get("env") or []}
    return given.get(_variable("output")), given.get(_variable("run_id"))


def _failure_defaults(container: str, completions: int) -> Body:
    def on_exit(code: ExitCode, action: str) -> Body:
        codes = {"containerName": container, "operator": "In", "values": [int(code)]}
        return {"action": action, "onExitCodes": codes}

    disrupted = {"type": "DisruptionTarget", "status": "True"}
    return {
        "backoffLimitPerIndex": 5,
        # A bad shard or two must not keep the others from being scored.
        "maxFailedIndexes": max(1, completions // 10),
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [disrupted]},
                on_exit(ExitCode.BAD_DATA, "FailIndex"),
                on_exit(ExitCode.USAGE, "FailJob"),
            ]
        },
    }


def _set_environment(container: Body, values: dict[str, str]) -> None:
    others = [variable for variable in container.get("env") or [] if variable.get("name") not in values]
    container["env"] = [*others, *({"name": name, "value": value} for name, value in values.items())]


def _variable(name: str) -> str:
    return variable(WorkSettings, name)


def _containers(job: Body) -> list[Body]:
    containers: list[Body] = job["spec"]["template"]["spec"]["containers"]
    if not containers:
        raise KeyError("containers")
    return containers


def _mapping(parent: Body, key: str) -> Body:
    """The mapping under this key, made if there is none, or nothing after its colon."""
    parent[key] = parent.get(key) or {}
    mapping: Body = parent[key]
    return mapping


def _bad_template(path: Path, problem: str) -> SettingsInvalid:
    return SettingsInvalid(f"--job-template {path}: it {problem}")
