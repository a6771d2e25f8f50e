"""The server on a GPU, beside what it cannot exceed: decoding alone and the session alone."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.gpu import device
from benchmarks.gpu.callers import call
from benchmarks.gpu.decoding import decoded_per_s
from benchmarks.gpu.rows import attempt, expect, measured, not_run
from benchmarks.gpu.sessions import session_rates
from benchmarks.gpu.sizes import Sizes, arguments, models_in, photographs_in
from benchmarks.served import running_server
from fovea.client import Client
from fovea.cpus import available_cpus
from fovea.errors import ExitCode
from fovea.model import versions
from fovea.model.bundle import ModelBundle, Precision
from fovea.model.providers import CUDA
from server.config import ServeSettings

NO_TF32: Final = {"NVIDIA_TF32_OVERRIDE": "0"}
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "fp16")
PATIENCE_S: Final = 60
PUBLISHED: Final = {
    "session": "published: timm, resnet34, AMP, RTX 3090: 6,530 images/s",
    "server": "published: Triton, ResNet-50 fp16, A100, 256 clients: 6,127 images/s, p50 41.6 ms",
}


@dataclass(frozen=True)
class Setup:
    """A server, and who calls it."""

    title: str
    precision: Precision
    callers: tuple[int, ...]
    flags: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


def main() -> None:
    content, sizes = arguments("serving")
    bundle = versions.fetch(str(models_in(content)))
    limits = _limits(bundle, content, sizes)
    for setup in _setups(bundle, sizes):
        with attempt(setup.title):
            _serve(setup, content, sizes, limits)
    for devices, name in (("", "without a GPU"), ("99", "on a GPU that is not there")):
        if sizes.on_gpu or not devices:
            with attempt(f"provider cuda {name}"):
                _refuses(models_in(content), devices, f"provider cuda {name}")


def _precisions(bundle: ModelBundle) -> list[Precision]:
    return [name for name in PRECISIONS if name == "fp32" or name in bundle.contract.variants]


def _setups(bundle: ModelBundle, sizes: Sizes) -> Iterator[Setup]:
    there = _precisions(bundle)
    for precision in PRECISIONS:
        if precision in there:
            yield Setup(precision, precision, sizes.callers)
        else:
            not_run(precision, "the kit's model has no such precision")
    for fronts in sizes.fronts:
        if "fronts" in ServeSettings.model_fields:
            flags = ("--fronts", str(fronts))
            yield Setup(f"{there[-1]}, {fronts} fronts", there[-1], sizes.callers[-2:], flags)
        else:
            not_run(f"{there[-1]}, {fronts} fronts", "this server has one front")
    if sizes.on_gpu:
        yield Setup("fp32 without TF32", "fp32", sizes.callers[-2:-1], variables=NO_TF32)
    else:
        not_run("fp32 without TF32", "this is a rehearsal on the CPU")


def _limits(bundle: ModelBundle, content: Path, sizes: Sizes) -> dict[Precision, float]:
    """Images/s that a server of that precision cannot exceed."""
    decoding = float("inf")
    cores = available_cpus()
    with attempt("decoding alone"):
        spec = bundle.contract.preprocess
        decoding = decoded_per_s(photographs_in(content), spec, cores, sizes.seconds)
        measured("decoding alone", {"images/s": decoding}, f"{cores} processes")
    limits: dict[Precision, float] = {}
    for precision in _precisions(bundle):
        with attempt(f"the session alone, {precision}"):
            rates = session_rates(bundle, precision, sizes.device, sizes.batches, sizes.seconds / 4)
            for each in rates:
                values = {"images/s": each.bound, "without IO binding": each.plain}
                measured(f"the session alone, {precision}, batch {each.batch}", values, PUBLISHED["session"])
            limits[precision] = min(decoding, max(each.bound for each in rates))
    return limits


def _serve(setup: Setup, content: Path, sizes: Sizes, limits: Mapping[Precision, float]) -> None:
    before = device.used_mb() if sizes.on_gpu else None
    flags = ("--provider", sizes.device, "--precision", setup.precision, *setup.flags)
    with _variables(setup.variables), running_server(models_in(content), *flags) as server:
        with Client(server.target) as client:
            model = client.get_model()
        right = (model.provider == CUDA) == sizes.on_gpu and model.precision == setup.precision
        expect(f"{setup.title}: ready, golden check and all", right, f"{model.provider}, {model.precision}")
        for callers in setup.callers:
            seen = call(server, photographs_in(content), callers, sizes.seconds)
            limit = limits.get(setup.precision)
            share = {"of min(decoding, session)": seen.images_s / limit} if limit else {}
            note = PUBLISHED["server"] if callers == sizes.callers[-1] else ""
            measured(f"{setup.title}, {callers} callers", {**seen.values(), **share}, note)
        after = device.used_mb()
        if before is None or after is None:
            not_run(f"{setup.title}: memory on the device", "there is no GPU, or nvidia-smi does not say")
        else:
            measured(f"{setup.title}: memory on the device", {"MB": after - before})


def _refuses(models: Path, devices: str, what: str) -> None:
    """A device that is not there is an error, and never silently the CPU."""
    command = [sys.executable, "-m", "server", "--models", str(models), "--provider", "cuda", "--port", "0"]
    with _variables({"CUDA_VISIBLE_DEVICES": devices}):
        ended = subprocess.run(
            [*command, "--no-http", "--metrics-port", "0", "--health-port", "0"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    said = ended.stderr.strip().splitlines()[-1:]
    expect(what, ended.returncode == ExitCode.UNAVAILABLE, f"exit {ended.returncode}: {''.join(said)}"[:300])


@contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    """For what is started in the block."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    main()
