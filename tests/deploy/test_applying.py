"""What is applied over what a cluster holds already: by another way to apply, or by another overlay."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from tests.deploy.compositions import COMPOSITIONS, DEPLOY
from tests.deploy.manifests import Manifest, Rendering, build, render

FILLED_IN: Final = {
    "fieldRef": {"apiVersion"},
    "resourceFieldRef": {"divisor"},
    "onPodConditions": {"status"},
    "roleRef": {"apiGroup"},
    "ports": {"protocol"},
}
"""Field -> what the API server adds to it where it is missing.

A field manager owns the whole of these (x-kubernetes-map-type or -list-type: atomic), or tells the items of
the list apart by what is added: who applies them without it applies another value, which is a conflict.
"""


def test_nothing_that_is_owned_as_a_whole_is_left_for_the_api_server_to_fill_in(rendering: Rendering) -> None:
    for manifest in (*rendering.manifests, *_beside_the_base()):
        assert list(_left_open(manifest)) == [], manifest["metadata"].get("name")


def test_what_is_left_open_would_be_found() -> None:
    field = {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}
    assert list(_left_open({"spec": [field]})) == ["fieldRef.apiVersion"]
    assert list(_left_open({"ports": [{"port": 1, "protocol": "TCP"}, {"port": 2}]})) == ["ports.protocol"]


def test_no_overlay_would_change_what_cannot_be_changed_when_it_is_applied_over_another() -> None:
    """Claims can neither shrink nor, with many storage classes, grow, nor change their access modes."""
    first: dict[tuple[str, str], tuple[str, Any]] = {}
    for composition in COMPOSITIONS:
        for manifest in render(composition).manifests:
            fixed = _fixed(manifest)
            if fixed is None:
                continue
            key = (manifest["kind"], manifest["metadata"]["name"])
            named, before = first.setdefault(key, (composition.name, fixed))
            assert fixed == before, f"{key} of {composition.name} is not that of {named}"
    assert {kind for kind, _ in first} >= {"PersistentVolumeClaim", "Deployment", "RoleBinding"}


@cache
def _beside_the_base() -> tuple[Manifest, ...]:
    return (*build(DEPLOY / "triton"), *build(DEPLOY / "kserve"))


def _fixed(manifest: Manifest) -> Any:
    match manifest["kind"]:
        case "PersistentVolumeClaim":
            return manifest["spec"]
        case "Deployment":
            return manifest["spec"]["selector"]
        case "RoleBinding":
            return manifest["roleRef"]
        case "Service":
            return manifest["spec"].get("clusterIP")
    return None


def _left_open(value: Any, field: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for missing in sorted(FILLED_IN.get(field, set()) - set(value)):
            yield f"{field}.{missing}"
        for name, inner in value.items():
            yield from _left_open(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _left_open(inner, field)
