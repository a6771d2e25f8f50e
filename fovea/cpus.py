"""The processor: how many of its cores this process may really use, and its name."""

import math
import os
import platform
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def available_cpus(cgroups: Path = _CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int:
    """Cores by affinity and by cgroup CPU quota (v1 and v2), whichever is less; at least 1.

    The host's core count is of no use in a container: threads beyond the quota only throttle each other.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [math.ceil(quota) for folder in _own_cgroups(cgroups, membership) if (quota := _quota(folder))]
    return max(1, min([affinity, *quotas]))


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """As its maker calls it, or else its architecture."""
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _own_cgroups(cgroups: Path, membership: Path) -> list[Path]:
    """The process's cgroup and all above it, whose limits hold as well; v1 keeps `cpu` in a tree apart."""
    try:
        lines = membership.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            root = cgroups if controllers == "" else cgroups / "cpu"
            own = root / path.lstrip("/")
            folders += [own, *own.parents[: len(Path(path).parts) - 1], root]
    return folders


def _quota(folder: Path) -> float | None:
    """Cores per period, None where there is no limit."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return int(quota) / int(period) if quota not in {"max", "-1"} else None
    except (OSError, ValueError):
        return None
