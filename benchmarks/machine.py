"""On what a number was measured."""

import platform
import subprocess
from importlib.metadata import version

import torch

from fovea.cpus import processor_name


def describe_machine(device: torch.device, threads: int) -> str:
    """One line: processor or GPU, threads, versions, commit."""
    on_cpu = f"{processor_name()}, {threads} threads"
    where = torch.cuda.get_device_name() if device.type == "cuda" else on_cpu
    return f"{where}; Python {platform.python_version()}, torch {version('torch')}; commit {_commit()}"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
