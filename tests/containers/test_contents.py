"""What is in the images, and what is not."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests.containers.image import Image, inspect
from tests.containers.runtime import USER, Container, run
from tests.containers.test_locks import LOCKS, Lock

pytestmark = pytest.mark.images

PROGRAMS = {"serve": {"server", "scorer"}, "serve-gpu": {"server", "scorer"}, "train": {"trainer"}}
CACHES = {"serve": "var/cache/fovea", "serve-gpu": "var/cache/fovea", "train": "var/lib/fovea"}
COMPILER = re.compile(r"(.*-)?(gcc|g\+\+|cc|c\+\+|clang|ld|as|make)(-\d+)?")
NO_LICENCE = {"cuda-toolkit", "nvidia-cusparselt-cu13", "protobuf", "torchvision"}
"""Packages whose wheels name none."""
LOAD_CUDA = """
import ctypes, pathlib, onnxruntime
onnxruntime.preload_dlls()
libraries = pathlib.Path(onnxruntime.__file__).parent / "capi"
ctypes.CDLL(libraries / "libonnxruntime_providers_shared.so", ctypes.RTLD_GLOBAL)
ctypes.CDLL(libraries / "libonnxruntime_providers_cuda.so")
"""
"""As onnxruntime does it."""


def test_server_for_cpus_adds_at_most_530_mb(cpu_image: Image) -> None:
    _, base = inspect(cpu_image.labels["org.opencontainers.image.base.name"])
    assert base.items() <= cpu_image.layers.items()
    assert sum(cpu_image.layers.values()) - sum(base.values()) <= 530_000_000


def test_image_holds_its_programs_and_what_they_import(image: Image, kind: str) -> None:
    assert {path.name for path in (image.root / "app").iterdir()} == {"fovea", *PROGRAMS[kind]}
    assert {path.name for path in (image.root / "opt").iterdir()} == {"fovea"}
    assert not list((image.root / "root").glob(".cache"))


def test_programs_can_write_nowhere_but_where_they_should(image: Image, kind: str) -> None:
    temporary = {"tmp", "var/tmp", "run/lock"}
    assert set(_writable(image.root)) - temporary == {CACHES[kind]}


def test_image_to_serve_has_no_torch_and_no_compiler(serving_image: Image) -> None:
    assert not {"torch", "torchvision"} & set(_packages(serving_image))
    folders = [serving_image.root / folder for folder in ("usr/bin", "usr/local/bin", "opt/fovea/bin")]
    programs = {path.name for folder in folders if folder.exists() for path in folder.iterdir()}
    assert not [
        name for name in programs if re.fullmatch(r"(.*-)?(gcc|g\+\+|cc|c\+\+|clang|ld|as|make)(-\d+)?", name)
    ]


def test_images_are_resized_by_the_extension(image: Image, tmp_path: Path) -> None:
    code = "from fovea.images import preprocess; print(preprocess.is_built())"
    assert run(Container(image, ["python", "-c", code]), tmp_path) == (0, "True\n")


def test_no_pip_is_left(image: Image, tmp_path: Path) -> None:
    assert "pip" not in _packages(image)
    code, output = run(Container(image, ["python", "-m", "pip", "--version"]), tmp_path)
    assert (code, "No module named pip" in output) == (1, True)


def test_sbom_lists_every_package_by_the_hash_of_its_lock(image: Image, kind: str) -> None:
    listed = {canonicalize_name(one["name"]): one for one in _sbom(image, "pkg:pypi/")}
    assert {name: one["version"] for name, one in listed.items()} == _packages(image)
    locked = {canonicalize_name(package.name): hashes for package, hashes in _lock(kind).requirements}
    for name, one in listed.items():
        (digest,) = one["hashes"]
        assert f"--hash=sha256:{digest['content']}" in locked[name]
    assert {name for name, one in listed.items() if not one.get("licenses")} <= NO_LICENCE


def test_sbom_lists_the_packages_of_the_base(image: Image) -> None:
    stanzas = (image.root / "var/lib/dpkg/status").read_text().strip().split("\n\n")
    fields = (dict(re.findall(r"^(Package|Status): (.*)$", stanza, re.MULTILINE)) for stanza in stanzas)
    installed = [one["Package"] for one in fields if one["Status"] == "install ok installed"]
    assert sorted(one["name"] for one in _sbom(image, "pkg:deb/")) == sorted(installed)


def test_image_says_what_it_is_and_whom_it_runs_as(image: Image, kind: str) -> None:
    assert image.config["User"] == f"{USER}:{USER}"
    assert image.labels["org.opencontainers.image.title"] == f"fovea-{kind.removesuffix('-gpu')}"
    assert re.fullmatch("[0-9a-f]{7,}", image.labels["org.opencontainers.image.revision"])


def test_health_check_is_kept(serving_image: Image) -> None:
    assert serving_image.config["Healthcheck"]["Test"][:2] == ["CMD", "python"]


def test_image_for_gpus_lacks_nothing_of_cuda_but_the_driver(gpu_image: Image, tmp_path: Path) -> None:
    """The driver comes from the node; whatever else was missing would be named before it, or in its place."""
    code, output = run(Container(gpu_image, ["python", "-c", LOAD_CUDA]), tmp_path)
    assert code == 1
    assert output.splitlines()[-1].startswith("OSError: libcuda.so.1: cannot open")


def _writable(root: Path) -> list[str]:
    """What the image's user could write to, were it not for the read-only root."""
    paths = (Path(folder, name) for folder, _, files in os.walk(root) for name in ("", *files))
    return [str(path.relative_to(root)) for path in paths if _is_writable(path.lstat())]


def _is_writable(status: os.stat_result) -> bool:
    may = USER in (status.st_uid, status.st_gid) or bool(status.st_mode & stat.S_IWOTH)
    return may and (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode))


def _packages(image: Image) -> dict[str, str]:
    """Python packages and their versions, by the names of their folders."""
    folders = (image.root / "opt/fovea/lib").glob("python3*/site-packages/*.dist-info")
    split = (folder.name.removesuffix(".dist-info").split("-") for folder in folders)
    return {canonicalize_name(name): version for name, version in split}


def _sbom(image: Image, kind: str) -> list[dict[str, Any]]:
    bom = json.loads((image.root / "usr/share/fovea/sbom.cdx.json").read_text())
    assert bom["bomFormat"] == "CycloneDX"
    return [one for one in bom["components"] if one["purl"].startswith(kind)]


def _lock(kind: str) -> Lock:
    return Lock((LOCKS / f"{kind}.txt").read_text())
