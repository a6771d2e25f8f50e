"""What an API server refuses of a Job: what its schemas do not know, and what its own validation forbids."""

import json
import re
from collections.abc import Iterator
from typing import Final

import kubernetes_validate

from tests.deploy.kubernetes_schemas import VERSIONS, validate
from tests.scorer.fake_kubernetes.statuses import Body

_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def unknown_field(job: Body) -> str | None:
    """What the schemas do not have, of a Job with which nothing else is wrong."""
    return _schema_problem(job, strict=True)


def problem_with(job: Body) -> str | None:
    """The first thing that is wrong; unknown fields are not."""
    if problem := _schema_problem(job, strict=False):
        return problem
    return next(iter(spec_problems(job["spec"])), None) or next(iter(_name_problems(job)), None)


def _schema_problem(job: Body, *, strict: bool) -> str | None:
    text = json.dumps(job)
    try:
        for version in VERSIONS:
            validate(text, version, strict=strict)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    return None


def spec_problems(spec: Body) -> Iterator[str]:
    """What schemas cannot say: fields that need, or exclude, one another."""
    yield from _index_problems(spec)
    yield from _policy_problems(spec)
    yield from _pod_problems(spec["template"])
    if "selector" in spec:
        yield "spec.selector: `selector` not auto-generated"


def _index_problems(spec: Body) -> Iterator[str]:
    indexed, by_index = spec.get("completionMode") == "Indexed", "backoffLimitPerIndex" in spec
    if indexed and not {"completions", "parallelism"} <= set(spec):
        yield "spec.completions: Required value: when completion mode is Indexed"
    if by_index and not indexed:
        yield "spec.backoffLimitPerIndex: Invalid value: requires indexed completion mode"
    if "maxFailedIndexes" in spec and not by_index:
        yield "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"
    if spec.get("maxFailedIndexes", 0) > spec.get("completions", 1):
        yield "spec.maxFailedIndexes: Invalid value: must be less than or equal to completions"


def _policy_problems(spec: Body) -> Iterator[str]:
    pod = spec["template"]["spec"]
    rules = spec.get("podFailurePolicy", {}).get("rules", [])
    if pod.get("restartPolicy") != "Never" and (rules or "backoffLimitPerIndex" in spec):
        yield 'spec.template.spec.restartPolicy: Invalid value: only "Never" is supported here'
    if rules and spec.get("podReplacementPolicy", "Failed") != "Failed":
        yield 'spec.podReplacementPolicy: Unsupported value: supported values: "Failed"'
    for rule in rules:
        if ("onExitCodes" in rule) == ("onPodConditions" in rule):
            yield "spec.podFailurePolicy.rules: Invalid value: exactly one of onExitCodes, onPodConditions"
        if rule["action"] == "FailIndex" and "backoffLimitPerIndex" not in spec:
            yield "spec.podFailurePolicy.rules.action: Invalid value: requires backoffLimitPerIndex"
        yield from _exit_code_problems(rule.get("onExitCodes"), pod)


def _exit_code_problems(on: Body | None, pod: Body) -> Iterator[str]:
    if on is None:
        return
    if on.get("containerName") not in [None, *(container["name"] for container in pod["containers"])]:
        yield "spec.podFailurePolicy.rules.onExitCodes.containerName: must be one of the containers"
    if on["values"] != sorted(set(on["values"])):
        yield "spec.podFailurePolicy.rules.onExitCodes.values: must be ordered, without duplicates"
    if on["operator"] == "In" and 0 in on["values"]:
        yield "spec.podFailurePolicy.rules.onExitCodes.values: must not be 0 for the In operator"


def _pod_problems(template: Body) -> Iterator[str]:
    volumes = {volume["name"] for volume in template["spec"].get("volumes", [])}
    for container in template["spec"]["containers"]:
        if not container.get("image"):
            yield "spec.template.spec.containers.image: Required value"
        if not {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes:
            yield "spec.template.spec.containers.volumeMounts.name: Not found"
    for value in template.get("metadata", {}).get("labels", {}).values():
        if not _LABEL_VALUE.fullmatch(value):
            yield f"spec.template.metadata.labels: Invalid value: {value!r}"


def _name_problems(job: Body) -> Iterator[str]:
    last = f"{job['metadata']['name']}-{job['spec'].get('completions', 1) - 1}"
    if not _DNS_LABEL.fullmatch(last):
        yield f"metadata.name: Invalid value: will not be able to create pod with invalid DNS label: {last!r}"
