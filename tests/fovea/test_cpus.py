"""Threads follow the cgroup's quota, not the host's core count."""

import os
import platform
from pathlib import Path

import pytest

from fovea.cpus import available_cpus, processor_name

AFFINITY = len(os.sched_getaffinity(0))


@pytest.fixture
def cgroups(tmp_path: Path) -> Path:
    (tmp_path / "membership").write_text("0::/pod/container\n")
    (tmp_path / "pod" / "container").mkdir(parents=True)
    return tmp_path


def cpus(cgroups: Path) -> int:
    return available_cpus(cgroups, cgroups / "membership")


def test_without_a_quota_the_affinity_decides(cgroups: Path) -> None:
    (cgroups / "pod" / "container" / "cpu.max").write_text("max 100000\n")
    assert cpus(cgroups) == AFFINITY


def test_a_quota_below_the_affinity_decides(cgroups: Path) -> None:
    (cgroups / "pod" / "container" / "cpu.max").write_text("50000 100000\n")
    assert cpus(cgroups) == 1


def test_the_quota_of_a_parent_holds_too(cgroups: Path) -> None:
    (cgroups / "pod" / "container" / "cpu.max").write_text("max 100000\n")
    (cgroups / "pod" / "cpu.max").write_text("100000 100000\n")
    assert cpus(cgroups) == 1


def test_a_quota_above_the_affinity_adds_no_cores(cgroups: Path) -> None:
    (cgroups / "pod" / "container" / "cpu.max").write_text("99900000 100000\n")
    assert cpus(cgroups) == AFFINITY


def test_version_one_quotas_are_read(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("4:cpu,cpuacct:/docker/abc\n")
    folder = tmp_path / "cpu" / "docker" / "abc"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("100000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert cpus(tmp_path) == 1


def test_a_machine_without_cgroups_uses_the_affinity(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "none", tmp_path / "none") == AFFINITY


def test_processor_is_called_as_its_maker_calls_it_or_by_its_architecture(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_bytes(b"processor\t: 0\nmodel name\t: A CPU: v2 \xff\nflags\t: fpu\n")
    assert processor_name(tmp_path / "cpuinfo") == "A CPU: v2 \ufffd"
    (tmp_path / "of_arm").write_text("processor\t: 0\nBogoMIPS\t: 243.75\n")
    for without in ("of_arm", "missing"):
        assert processor_name(tmp_path / without) == (platform.processor() or platform.machine())
