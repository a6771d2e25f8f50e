"""What can be put together of deploy/: its folders, its overlays, and every choice of components."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPONENTS = tuple(sorted(path.name for path in (DEPLOY / "components").iterdir()))


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
        """As it stands two folders below deploy/."""
        components = [f"../../components/{name}" for name in self.components]
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


def _choices(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every choice of one or more of the names."""
    return chain.from_iterable(combinations(names, count) for count in range(1, len(names) + 1))


def _of_overlay(overlay: str) -> Iterator[Composition]:
    """The overlay as it is, and with each choice of the components that it lacks."""
    folders, own = (f"overlays/{overlay}",), _components_of(overlay)
    yield Composition(overlay, folders, own)
    for more in _choices([name for name in COMPONENTS if name not in own]):
        yield Composition("+".join((overlay, *more)), folders, (*own, *more))


PLAIN = Composition("plain", ("base", "train"))
"""What `kubectl apply -k deploy/base` and then deploy/train give, and the Job that is created by hand."""

OVERLAYS = tuple(sorted(path.name for path in (DEPLOY / "overlays").iterdir()))
COMPOSITIONS = (
    PLAIN,
    Composition("base+components", ("base",), COMPONENTS),
    Composition("plain+components, turned round", ("base", "train"), COMPONENTS[::-1]),
    *(Composition("+".join(("plain", *some)), ("base", "train"), some) for some in _choices(COMPONENTS)),
    *(composition for overlay in OVERLAYS for composition in _of_overlay(overlay)),
)
