"""On what a number was measured."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch


def describe_machine(device: torch.device, threads: int) -> str:
    """One line: processor or GPU, threads, versions, commit."""
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{_processor()}, {threads} threads"
    return f"{where}; Python {platform.python_version()}, torch {version('torch')}; commit {_commit()}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
