"""What a Dockerfile says can be built from this tree."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Template

import pytest

from server.config import HEALTH_PORT
from tests.deploy.manifests import ROOT, Workload
from tests.servers import running_server, started_server

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROGRAMS = {"serve": {"server", "scorer"}, "train": {"trainer"}}
BUILD_TOOLS = re.compile(r"\b(apt-get|gcc|g\+\+|build-essential|cmake)\b")


@dataclass(frozen=True)
class Dockerfile:
    """The instructions of each stage as (word, rest of the line)."""

    name: str
    stages: tuple[tuple[tuple[str, str], ...], ...]

    def all(self, word: str, stage: int = -1) -> list[str]:
        return [rest for instruction, rest in self.stages[stage] if instruction == word]

    def only(self, word: str) -> str:
        (rest,) = self.all(word)
        return rest

    @property
    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for pair in shlex.split(self.only("ENV")))


def parse(name: str) -> Dockerfile:
    return parse_file(name, ROOT / f"Dockerfile.{name}")


def parse_file(name: str, path: Path) -> Dockerfile:
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    _, *stages = re.split(r"^(?=FROM)", "\n".join(lines), flags=re.MULTILINE)
    split = tuple(
        tuple((word, rest.strip()) for word, _, rest in (line.partition(" ") for line in stage.splitlines()))
        for stage in stages
    )
    return Dockerfile(name, split)


@pytest.fixture(params=["serve", "train"])
def dockerfile(request: pytest.FixtureRequest) -> Dockerfile:
    return parse(request.param)


def test_every_stage_starts_from_the_base_that_is_asked_for(dockerfile: Dockerfile) -> None:
    starts = [dockerfile.all("FROM", stage)[0].split() for stage in range(len(dockerfile.stages))]
    assert [words[0] for words in starts] == ["${BASE_IMAGE}"] * 3
    assert [words[1:] for words in starts] == [["AS", "dependencies"], ["AS", "extension"], []]


def test_what_is_copied_is_there_and_not_ignored(dockerfile: Dockerfile) -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    for name in set().union(*(_copied(dockerfile, stage) for stage in range(3))):
        assert (ROOT / name).exists()
        assert {name, str(PurePosixPath(name).parent)} & allowed
    assert "**/*.so" in allowed  # what was compiled for the machine that builds


def test_image_holds_its_programs_and_no_other(dockerfile: Dockerfile) -> None:
    assert _copied(dockerfile, -1) == {"fovea", *PROGRAMS[dockerfile.name]}


def test_image_holds_the_extension_where_it_is_imported_from(dockerfile: Dockerfile) -> None:
    """Compiled from all the sources that an installation compiles it from."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    (extension,) = tools["ext-modules"]
    (compiled,) = (run for run in dockerfile.all("RUN", 1) if run.startswith("gcc "))
    assert {str(path.relative_to(ROOT)) for path in ROOT.glob("fovea/images/_*.c")} == set(
        extension["sources"]
    )
    assert "fovea/images/_*.c -o _resize.abi3.so" in compiled
    (copied,) = (copy for copy in dockerfile.all("COPY") if "--from=extension" in copy)
    (place,) = (copy.split()[-1] for copy in dockerfile.all("COPY") if copy.startswith("fovea "))
    assert copied.split()[1:] == ["/build/_resize.abi3.so", f"{place}/images/"]


def test_image_runs_as_the_pods_do(dockerfile: Dockerfile) -> None:
    assert dockerfile.only("USER") == "10001:10001"


def test_image_runs_a_program(dockerfile: Dockerfile) -> None:
    words = [*json.loads(dockerfile.only("ENTRYPOINT")), *json.loads(dockerfile.only("CMD"))]
    assert words[:2] == ["python", "-m"]
    assert words[2] in PROGRAMS[dockerfile.name]
    assert (ROOT / words[2] / "__main__.py").exists()


def test_dependencies_are_those_that_are_locked(dockerfile: Dockerfile) -> None:
    installs = [run for run in dockerfile.all("RUN", 0) if " install " in run]
    assert len(installs) == 2
    for install in installs:
        assert "--require-hashes" in install
        assert "--only-binary :all:" in install
        assert "--mount=type=cache,target=/root/.cache/pip" in install


def test_nothing_of_the_machine_that_builds_gets_into_the_image(dockerfile: Dockerfile) -> None:
    """A RUN leaves the places where the builder's mounts were, empty but telling."""
    assert dockerfile.all("RUN") == []


def test_hadolint_finds_nothing(dockerfile: Dockerfile) -> None:
    beside_python = Path(sys.executable).with_name("hadolint")
    hadolint = beside_python if beside_python.exists() else shutil.which("hadolint")
    if hadolint is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("hadolint is not installed")
    done = subprocess.run(
        [hadolint, "--no-color", f"Dockerfile.{dockerfile.name}"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_nothing_is_reported_to_the_makers_of_onnxruntime(dockerfile: Dockerfile) -> None:
    assert dockerfile.environment["ORT_DISABLE_TELEMETRY"] == "1"


def test_image_has_no_build_tools(dockerfile: Dockerfile) -> None:
    assert not any(BUILD_TOOLS.search(run) for run in dockerfile.all("RUN", 0))
    assert not any(BUILD_TOOLS.search(run) for run in dockerfile.all("RUN"))


def test_image_says_which_version_it_is(dockerfile: Dockerfile) -> None:
    assert f"VERSION={PROJECT['version']}" in dockerfile.all("ARG")
    labels = dict(pair.split("=", 1) for pair in shlex.split(dockerfile.only("LABEL")))
    assert labels["org.opencontainers.image.title"] == f"fovea-{dockerfile.name}"
    assert labels["org.opencontainers.image.version"] == "${VERSION}"


def test_health_check_follows_readiness(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # Docker gives it to each container
    with running_server(tiny_models) as ready, started_server(tmp_path, "--wait-for-model") as waiting:
        ports = waiting.wait_for("waiting for a version to be published")
        assert _health_check(ready.ready["health_port"]) == 0
        assert _health_check(ports["health_port"]) == 1


def test_pods_mount_a_volume_where_the_image_keeps_its_cache(workload: Workload) -> None:
    image = parse(re.findall(r"fovea-(\w+):", workload.container["image"])[0])
    cache = PurePosixPath(image.environment["XDG_CACHE_HOME"]) / "fovea"
    assert any(cache.is_relative_to(mount) for mount in workload.mounts)


def test_runs_outlive_the_training_pod(training: Workload) -> None:
    assert "persistentVolumeClaim" in training.mounts[parse("train").only("WORKDIR")]


def _health_check(port: int) -> int:
    """Runs the image's health check against another port."""
    healthcheck = parse("serve").only("HEALTHCHECK")
    python, *arguments = json.loads(healthcheck[healthcheck.index("[") :])
    assert python == "python"
    code = [argument.replace(f":{HEALTH_PORT}", f":{port}") for argument in arguments]
    return subprocess.run([sys.executable, *code], capture_output=True, timeout=60).returncode


def _copied(dockerfile: Dockerfile, stage: int) -> set[str]:
    """What is copied from the tree, not from another stage."""
    given = dict(arg.split("=") for arg in dockerfile.all("ARG", stage) if "=" in arg)
    lines = [Template(line).substitute(given).split() for line in dockerfile.all("COPY", stage)]
    return {name for words in lines if not words[0].startswith("--from") for name in words[:-1]}
