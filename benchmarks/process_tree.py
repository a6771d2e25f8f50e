"""What a process and those that it started take of the machine, by /proc."""

import os
from pathlib import Path


def cpu_seconds(pid: int, but: str = "") -> float:
    """User and system time so far, of all that live, those of the name `but` left out."""
    return sum(_cpu_seconds(each) for each in _tree(pid) if not but or _name(each) != but)


def resident_bytes(pid: int) -> int:
    """Resident memory that is not backed by a file."""
    return sum(_anonymous_bytes(each) for each in _tree(pid))


def proportional_bytes(pid: int, kind: str = "Pss") -> int:
    """PSS: resident memory, a page that several processes share counted in parts.

    Its kinds are those of smaps_rollup: `Pss_Anon` is what is not backed by a file.
    """
    return sum(_proportional_bytes(each, kind) for each in _tree(pid))


def counts(pid: int) -> tuple[int, int]:
    """Threads and open descriptors."""
    tree = _tree(pid)
    return _entries(tree, "task"), _entries(tree, "fd")


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):  # a process that has just ended
        return ""


def _entries(tree: list[int], folder: str) -> int:
    return sum(len(list(Path(f"/proc/{pid}/{folder}").iterdir())) for pid in tree)


def _tree(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:  # a process that has just ended
        return []
    children = [child for task in tasks for child in _started_by(task)]
    return [pid, *(each for child in children for each in _tree(child))]


def _started_by(task: Path) -> list[int]:
    try:
        return [int(child) for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # a thread that has just ended
        return []


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _anonymous_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def _proportional_bytes(pid: int, kind: str) -> int:
    """0 of a process that has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:")), 0)
