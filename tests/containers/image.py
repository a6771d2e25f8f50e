"""An image that `make images` built."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Image:
    """What the image says of itself, and its files. What runc adds, to mount on, is in no layer."""

    name: str
    config: dict[str, Any]
    layers: dict[str, int]
    """Digest -> bytes, uncompressed; the base's come first."""
    root: Path

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.config["Labels"]
        return labels

    @property
    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for pair in self.config["Env"])


@contextmanager
def mounted(name: str) -> Iterator[Image]:
    """Skips where the image is not built, or cannot be run."""
    for program in ("buildah", "runc"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root can run containers so")
    container = _buildah("from", "--pull-never", name)
    if container is None:
        pytest.skip(f"{name} is not built: make images")
    try:
        yield Image(name, *inspect(name), Path(str(_buildah("mount", container))))
    finally:
        _buildah("rm", container)


def inspect(name: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Its configuration as docker keeps it, and its layers."""
    description = json.loads(str(_buildah("inspect", "--type", "image", name)))
    layers = json.loads(description["Manifest"])["layers"]
    return description["Docker"]["config"], {layer["digest"]: layer["size"] for layer in layers}


def _buildah(*arguments: str) -> str | None:
    done = subprocess.run(["buildah", *arguments], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None
