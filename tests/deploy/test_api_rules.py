"""What an API server refuses, and schemas do not know: words, quantities, names, and lists with keys."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.manifests import Rendering, Workload

WORDS = {
    ("capabilities", "drop"): {"ALL"},
    ("env", "name"): {"NODE", "RANK"},
    ("emptyDir", "medium"): {"Memory"},
    ("metrics", "type"): {"ContainerResource", "External", "Object", "Pods", "Resource"},
    ("containers", "terminationMessagePolicy"): {"FallbackToLogsOnError", "File"},
    ("onExitCodes", "operator"): {"In", "NotIn"},
    ("onPodConditions", "status"): {"True", "False", "Unknown"},
    ("onPodConditions", "type"): {"DisruptionTarget"},
    ("ports", "protocol"): {"SCTP", "TCP", "UDP"},
    ("rules", "action"): {"Count", "FailIndex", "FailJob", "Ignore"},
    ("seccompProfile", "type"): {"Localhost", "RuntimeDefault"},
    ("securityContext", "fsGroupChangePolicy"): {"Always", "OnRootMismatch"},
    ("spec", "accessModes"): {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"},
    ("spec", "clusterIP"): {"None"},
    ("spec", "completionMode"): {"Indexed", "NonIndexed"},
    ("spec", "concurrencyPolicy"): {"Allow", "Forbid", "Replace"},
    ("spec", "podReplacementPolicy"): {"Failed", "TerminatingOrFailed"},
    ("spec", "policyTypes"): {"Egress", "Ingress"},
    ("spec", "restartPolicy"): {"Never", "OnFailure", "Always"},
    ("spec", "type"): {"ClusterIP", "LoadBalancer", "NodePort"},
    ("spec", "unhealthyPodEvictionPolicy"): {"AlwaysAllow", "IfHealthyBudget"},
    ("strategy", "type"): {"Recreate", "RollingUpdate"},
    ("target", "type"): {"AverageValue", "Utilization", "Value"},
    ("tolerations", "effect"): {"NoExecute", "NoSchedule", "PreferNoSchedule"},
    ("tolerations", "operator"): {"Equal", "Exists"},
    ("topologySpreadConstraints", "whenUnsatisfiable"): {"DoNotSchedule", "ScheduleAnyway"},
}
"""The field around it, the field -> the words that it may hold."""

OWN_WORDS = {"kind", "alert"}
FREE = {"annotations", "data", "labels"}
"""Fields that hold whatever people write."""

KEYS = {
    "containers": ("name",),
    "env": ("name",),
    "ports": ("containerPort", "port", "protocol"),
    "tolerations": ("key", "operator", "value", "effect"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""List -> the fields by which a server-side apply tells its items apart."""

QUANTITY = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]+)?")
PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
DNS_LABEL = re.compile(r"(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
CRON_JOB_NAME_LENGTH = 52
"""The time of a run, and a dash, are put behind it in its Job's name."""


def test_words_are_those_that_the_api_knows(rendering: Rendering) -> None:
    for manifest in rendering.manifests:
        for around, field, value in _values(manifest):
            if re.fullmatch("[A-Z][A-Za-z]*", str(value)) and isinstance(value, str):
                assert field in OWN_WORDS or value in WORDS[around, field], f"{around}.{field}: {value}"


def test_a_word_that_the_api_does_not_know_would_be_found() -> None:
    values = list(_values({"spec": {"accessModes": ["ReadWriteOften"]}}))
    assert values == [("spec", "accessModes", "ReadWriteOften")]
    assert "ReadWriteOften" not in WORDS["spec", "accessModes"]


def test_quantities_can_be_read(rendering: Rendering) -> None:
    for manifest in rendering.manifests:
        for around, field, value in _values(manifest):
            if around in {"requests", "limits"} or field == "sizeLimit":
                assert QUANTITY.fullmatch(str(value)), f"{field}: {value}"


def test_names_are_those_that_the_api_takes(rendering: Rendering) -> None:
    for manifest in rendering.manifests:
        name = manifest["metadata"].get("name", "x")
        assert DNS_LABEL.fullmatch(name)
        assert manifest["kind"] != "CronJob" or len(name) <= CRON_JOB_NAME_LENGTH
        for items in _lists(manifest, "ports"):
            named = [port["name"] for port in items if "name" in port]
            assert all(map(PORT_NAME.fullmatch, named))
            assert len(named) == len(set(named))


def test_server_side_apply_finds_each_item_of_a_list_once(rendering: Rendering) -> None:
    for manifest in rendering.manifests:
        for name, keys in KEYS.items():
            _assert_distinct(name, manifest, keys)


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("env", [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
        ("volumeMounts", [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/a"}]),
    ],
)
def test_an_item_that_is_there_twice_would_be_found(name: str, items: list[dict[str, str]]) -> None:
    with pytest.raises(AssertionError):
        _assert_distinct(name, {"spec": {name: items}}, KEYS[name])


def test_autoscaler_measures_what_pods_request(serving: Workload) -> None:
    for autoscaler in serving.rendering.of_kind("HorizontalPodAutoscaler"):
        for metric in autoscaler["spec"]["metrics"]:
            assert metric["resource"]["name"] in serving.container["resources"]["requests"]


def _assert_distinct(name: str, manifest: dict[str, Any], keys: tuple[str, ...]) -> None:
    for items in _lists(manifest, name):
        identities = [tuple(item.get(key) for key in keys) for item in items]
        assert len(identities) == len(set(identities)), f"{name}: {identities}"


def _lists(value: Any, name: str) -> Iterator[list[dict[str, Any]]]:
    """Every list of this name, however deep it lies."""
    if isinstance(value, dict):
        if isinstance(value.get(name), list):
            yield value[name]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _lists(inner, name)


def _values(value: Any, around: str = "", field: str = "") -> Iterator[tuple[str, str, Any]]:
    """(the field around it, its field, value) of all that is no mapping and no list."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in FREE:
                yield from _values(inner, field, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner, around, field)
    else:
        yield around, field, value
