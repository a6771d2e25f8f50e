"""A models folder, and a model repository for Triton that is laid out from it."""

import re
from pathlib import Path
from typing import Any

from fovea.model.bundle import ModelBundle
from fovea.model.versions import publish
from fovea.settings import load
from fovea.stores.storage import LocalFolder
from server.triton.config import PROGRAM, TritonSettings
from server.triton.following import Follower
from tests import tiny


class Release:
    """A models folder, and a repository that is laid out from it."""

    def __init__(self, folder: Path, models: str | None = None) -> None:
        self._folder = folder
        self._count = 0
        self.models = models or str(folder / "models" / "tiny")
        self.repository = folder / "repository"

    def stage(self, **options: Any) -> ModelBundle:
        self._count += 1
        return tiny.stage_bundle(self._folder / f"staged-{self._count}", gain=1.0 + self._count, **options)

    def publish(self, **options: Any) -> ModelBundle:
        return publish(self.stage(**options), self.models)

    def settings(self, *flags: str) -> TritonSettings:
        words = ["--models", self.models, "--repository", str(self.repository), *flags]
        return load(TritonSettings, words, PROGRAM)

    def lay_out(self, *flags: str) -> None:
        Follower(self.settings(*flags)).lay_out_first()

    def config(self, name: str = "tiny") -> str:
        return (self.repository / name / "config.pbtxt").read_text()

    @property
    def served(self) -> str:
        """The versions that config.pbtxt names."""
        published = re.search(r"versions: \[ (.*) \]", self.config())
        assert published
        return published[1]

    def versions(self, name: str = "tiny") -> list[str]:
        return LocalFolder(self.repository / name).children()

    def state(self) -> dict[str, int]:
        """When each file was written."""
        files = [path for path in self.repository.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.repository)): path.stat().st_mtime_ns for path in files}
