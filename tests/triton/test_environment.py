"""What these tests run with is what the project runs with, as far as Triton lets it."""

import re
from pathlib import Path

from benchmarks.builds import ROOT


def versions(file: Path) -> dict[str, str]:
    pinned = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", file.read_text(), re.MULTILINE)
    return {re.sub("[-_.]+", "-", name).lower(): version for name, version in pinned}


PINNED_OTHERWISE = {
    "numpy": "by this Triton",
    "ml-dtypes": "by tritonclient, for it alone",
    "greenlet": "by tritonclient, for HTTP",
}


def test_versions_are_the_projects_where_they_may_be() -> None:
    ours = versions(ROOT / "constraints.txt")
    these = versions(ROOT / "tests" / "triton" / "requirements.txt")
    different = {name for name in these if name in ours and these[name] != ours[name]}
    assert different == set(PINNED_OTHERWISE)
    assert len(set(these) & set(ours)) > 12
