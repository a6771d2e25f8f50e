"""The table says what is beside what and whether it is what is wanted; what is missing is one line."""

import math
import re
import sys
from pathlib import Path

import pytest

from benchmarks import litserve_server, mosec_server
from benchmarks.builds import THIS, Build
from benchmarks.in_turns import CLASSIFY, LITSERVE, MOSEC, OVER_HTTP, check_environments
from benchmarks.measuring import Served
from benchmarks.table import __main__ as table
from benchmarks.table import doors
from benchmarks.table.bench import Bench
from benchmarks.table.rows import Row, Wanted, row
from fovea.errors import SettingsInvalid, Unavailable

ROOT = Path(__file__).parents[2]


def test_row_has_medians_the_median_ratio_and_the_verdict() -> None:
    seen = row("images/s", "Triton", [100, 50, 200], [150, 50, 220], Wanted(">=", 1.1))
    assert str(seen) == "| images/s | Triton | 100 | 150 | 1.10 | >= 1.1: met |"
    slower = row("images/s", "Triton", [100], [109], Wanted(">=", 1.1))
    assert str(slower).endswith("| 1.09 | >= 1.1: missed |")
    memory = row("PSS", "d1804b7", [2919.4], [600.0], Wanted("<=", 0.3), "MB")
    assert str(memory) == "| PSS | d1804b7 | 2,919 MB | 600 MB | 0.21 | <= 0.3: met |"
    call = row("CPU a call", "d1804b7", [0.74], [0.51], Wanted("<=", 0.5, "value"), "ms")
    assert str(call) == "| CPU a call | d1804b7 | 0.74 ms | 0.51 ms | 0.69 | <= 0.5 ms: missed |"
    same = Row("crops that differ", "d1804b7", 0, 0, math.nan, Wanted("<=", 0, "value"))
    assert str(same).endswith("|  | <= 0: met |")


def test_rounds_take_turns_and_begin_with_another_build(tmp_path: Path) -> None:
    older = Build(tmp_path, Path(sys.executable))
    order: list[Build] = []

    def measure(build: Build) -> int:
        order.append(build)
        return len(order)

    seen = Bench(tmp_path, tmp_path, older, 1, rounds=3).in_rounds(measure)
    assert order == [older, THIS, THIS, older, older, THIS]
    assert seen == ([1, 4, 5], [2, 3, 6])


def test_what_is_missing_is_one_line_that_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["table", "--only", "memory"])
    with pytest.raises(SettingsInvalid, match="memory: --build has to name"):
        table.main()
    monkeypatch.setattr(sys, "argv", ["table", "--only", "memory", "--build", str(tmp_path)])
    with pytest.raises(SettingsInvalid, match=r"no checkout of this project: make \.builds/COMMIT"):
        table.main()
    for peer, module in (("mosec", mosec_server), ("litserve", litserve_server)):
        monkeypatch.setattr(module, "ENVIRONMENT", tmp_path)
        with pytest.raises(Unavailable, match=rf"run make \.venv-{peer}/\.ready$"):
            check_environments([peer])
    monkeypatch.setattr("benchmarks.triton_server.ENVIRONMENT", tmp_path)
    with pytest.raises(Unavailable, match=r"run make \.venv-triton/\.ready$"):
        check_environments(["triton"])


def test_doors_are_beside_those_that_were_measured() -> None:
    images = {"older": 100, CLASSIFY: 97, OVER_HTTP: 120, MOSEC: 100, LITSERVE: 90}
    seen = {
        name: [Served(1, per_cpu_s, 200 / per_cpu_s, 1, 1, 1, {})] * 3 for name, per_cpu_s in images.items()
    }
    rows = doors.rows(dict.fromkeys((1, 16, 64), seen), "older")
    assert [str(row).split(" | ")[-1].rstrip(" |") for row in rows] == [
        *(">= 0.98: missed", ">= 0.98: missed", "<= 1.02: missed"),
        *(">= 1.05: met", ">= 1.05: met", ">= 1.15: met", ">= 1.15: met"),
        *(">= 1.5: missed", ">= 1.5: missed"),
    ]


def test_page_lists_the_parts_and_peers_are_the_versions_that_it_names() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    listed = page.partition("| part | rows |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", listed, re.MULTILINE) == list(table.PARTS)
    for peer, name in (("mosec", "mosec"), ("litserve", "LitServe")):
        required = (ROOT / "benchmarks" / f"{peer}_requirements.txt").read_text()
        (version,) = re.findall(rf"^{peer}==(.+)$", required, re.MULTILINE)
        assert f"{name} {version} " in page
