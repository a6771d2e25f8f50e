"""What the images install is what pyproject.toml and constraints.txt say; `make locks` sees to it."""

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "containers/lock"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, EXTRAS = PYPROJECT["project"], PYPROJECT["project"]["optional-dependencies"]


def of_extras(*names: str) -> list[str]:
    """What pip takes for the project with these extras, some of which name others of its own."""
    wanted = list(PROJECT["dependencies"])
    for line in (line for name in names for line in EXTRAS[name]):
        requirement = Requirement(line)
        own = requirement.name == PROJECT["name"]
        wanted += of_extras(*requirement.extras) if own else [line]
    return wanted


WANTED = {
    "serve": of_extras("serve", "score", "formats", "stores", "jwt"),
    "serve-gpu": of_extras("serve-gpu", "score", "formats", "stores", "jwt"),
    "train": of_extras("train", "formats", "stores", "tensorboard", "mlflow", "timm"),
    "sbom": PYPROJECT["dependency-groups"]["sbom"],
}
PYTHON = {"python_full_version": "3.11.2", "python_version": "3.11", "sys_platform": "linux"}


@dataclass(frozen=True)
class Lock:
    text: str

    @cached_property
    def requirements(self) -> list[tuple[Requirement, list[str]]]:
        """Each package, and the options after it."""
        lines = re.sub(r"#.*\n", "", self.text).replace("\\\n", " ").splitlines()
        split = (line.partition(" --") for line in lines)
        return [(Requirement(name), (dashes + rest).split()) for name, dashes, rest in split]

    def version(self, name: str, environment: dict[str, str]) -> str:
        (only,) = [
            locked.specifier
            for locked, _ in self.requirements
            if canonicalize_name(locked.name) == canonicalize_name(name)
            and (locked.marker is None or locked.marker.evaluate(environment))
        ]
        return pinned(only)


def pinned(specifiers: object) -> str:
    match = re.fullmatch(r"==([\w.+!-]+)", str(specifiers))
    assert match, f"{specifiers} is not one version"
    return match[1]


@pytest.fixture(params=WANTED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lock(name: str) -> Lock:
    return Lock((LOCKS / f"{name}.txt").read_text())


def test_every_lock_is_looked_at() -> None:
    assert {path.stem for path in LOCKS.iterdir()} == set(WANTED)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_dependency_is_locked_at_a_version_that_it_allows(name: str, lock: Lock, machine: str) -> None:
    environment = PYTHON | {"platform_machine": machine}
    for wanted in map(Requirement, WANTED[name]):
        assert wanted.specifier.contains(lock.version(wanted.name, environment)), wanted


def test_every_package_is_locked_by_sha256(lock: Lock) -> None:
    assert lock.requirements
    for package, options in lock.requirements:
        assert pinned(package.specifier)
        assert options
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for option in options), package


def test_what_is_locked_is_what_development_uses(lock: Lock) -> None:
    lines = (ROOT / "constraints.txt").read_text().split()
    constraints = {canonicalize_name(one.name): pinned(one.specifier) for one in map(Requirement, lines)}
    locked = {canonicalize_name(one.name): pinned(one.specifier) for one, _ in lock.requirements}
    assert {package: constraints.get(package, version) for package, version in locked.items()} == locked


def test_no_registry_is_named(lock: Lock) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host", lock.text)


@pytest.mark.parametrize("name", ["serve", "serve-gpu"])
def test_servers_have_neither_torch_nor_both_runtimes(lock: Lock) -> None:
    packages = {package.name for package, _ in lock.requirements}
    assert not packages & {"torch", "torchvision"}
    assert len(packages & {"onnxruntime", "onnxruntime-gpu"}) == 1


def test_no_extra_takes_the_onnxruntime_that_computes_fp16_badly() -> None:
    runtimes = [
        wanted
        for extra in EXTRAS.values()
        for wanted in map(Requirement, extra)
        if wanted.name.startswith("onnxruntime")
    ]
    assert len(runtimes) == 3
    assert not any(wanted.specifier.contains("1.29.0") for wanted in runtimes)
    assert all(wanted.specifier.contains("1.30.0") for wanted in runtimes)
