"""A pod of the overlay local-cpu as a container of the image that it names."""

import os
from dataclasses import dataclass
from pathlib import Path

from tests.containers.image import Image
from tests.containers.runtime import USER, Container, Mount
from tests.deploy.compositions import COMPOSITIONS
from tests.deploy.manifests import Manifest, Rendering, Workload, render
from tests.deploy.quantities import amount


def local_cpu() -> Rendering:
    (overlay,) = [composition for composition in COMPOSITIONS if composition.name == "local-cpu"]
    return render(overlay)


@dataclass(frozen=True)
class Node:
    """Where pods run: the folder has one for each claim, and one for each volume that goes with its pod."""

    folder: Path

    def claim(self, name: str) -> Path:
        return self._volume("claims", name)

    def container(
        self, pods: Workload, image: Image, *args: str, variables: dict[str, str] | None = None
    ) -> Container:
        """The pod's one container, with other arguments or more variables if they are given."""
        limits = pods.container["resources"]["limits"]
        return Container(
            image,
            [*pods.container["command"], *(args or pods.container["args"])],
            pods.environment() | (variables or {}),
            {where: self._mount(volume) for where, volume in pods.mounts.items()},
            cpus=amount(limits["cpu"]),
            memory_bytes=int(amount(limits["memory"])),
        )

    def _mount(self, volume: Manifest) -> Mount:
        if "persistentVolumeClaim" in volume:
            return Mount(self.claim(volume["persistentVolumeClaim"]["claimName"]), volume["readOnly"])
        if volume["emptyDir"].get("medium") == "Memory":
            return Mount()
        return Mount(self._volume("pods", os.urandom(8).hex()))

    def _volume(self, kind: str, name: str) -> Path:
        """A folder that the pod's group may write to: what fsGroup is for."""
        folder = self.folder / kind / name
        if not folder.exists():
            folder.mkdir(parents=True)
            os.chown(folder, 0, USER)
            folder.chmod(0o2775)
        return folder
