"""What can be put together of deploy/: its folders, its overlays, and one, two or all components."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPONENTS = tuple(sorted(path.name for path in (DEPLOY / "components").iterdir()))

NOT_WITH = {"local-cpu": ("kubeflow", "multi-node-train")}
"""Ranks cannot share the volumes of a laptop's overlay, as these components' READMEs say."""


@dataclass(frozen=True)
class Composition:
    """An overlay's kustomization with its components exchanged, or a new one that is made of folders."""

    name: str
    folders: tuple[str, ...]
    components: tuple[str, ...] = ()

    @property
    def overlay(self) -> str | None:
        """The overlay that it is made from, None if it is made from other folders."""
        return self.folders[0].removeprefix("overlays/") if self.folders[0].startswith("overlays/") else None

    def kustomization(self) -> dict[str, Any]:
        """As it stands two folders below deploy/, with what others change before them."""
        ordered = sorted(self.components, key=lambda name: name != "kubeflow")
        components = [f"../../components/{name}" for name in ordered]
        if self.overlay:
            return read(DEPLOY / self.folders[0]) | {"components": components}
        kind = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "fovea",
        }
        return kind | {
            "resources": [f"../../{folder}" for folder in self.folders],
            "components": components,
        }


def read(folder: Path) -> dict[str, Any]:
    kustomization: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return kustomization


def _components_of(overlay: str) -> tuple[str, ...]:
    return tuple(
        path.rpartition("/")[2] for path in read(DEPLOY / "overlays" / overlay).get("components", [])
    )


def _choices(names: Sequence[str], most: int) -> Iterator[tuple[str, ...]]:
    """Every choice of as many as `most` of the names, and all of them."""
    some = chain.from_iterable(combinations(names, count) for count in range(1, most + 1))
    return chain(some, [tuple(names)])


def _of_overlay(overlay: str) -> Iterator[Composition]:
    """The overlay as it is, and with each of the components that it lacks, and with all of them."""
    folders, own = (f"overlays/{overlay}",), _components_of(overlay)
    others = [name for name in COMPONENTS if name not in (*own, *NOT_WITH.get(overlay, ()))]
    yield Composition(overlay, folders, own)
    for more in _choices(others, 1):
        yield Composition("+".join((overlay, *more)), folders, (*own, *more))


PLAIN = Composition("plain", ("base", "train"))
"""What `kubectl apply -k deploy/base` and then deploy/train give, and the Job that is created by hand."""

OVERLAYS = tuple(sorted(path.name for path in (DEPLOY / "overlays").iterdir()))
COMPOSITIONS = (
    PLAIN,
    Composition("base+components", ("base",), COMPONENTS),
    Composition("plain+components, turned round", ("base", "train"), COMPONENTS[::-1]),
    *(Composition("+".join(("plain", *some)), ("base", "train"), some) for some in _choices(COMPONENTS, 2)),
    *(composition for overlay in OVERLAYS for composition in _of_overlay(overlay)),
)
