"""Where the CPU of a call goes in a server, thread by thread, beside an older build and gRPC alone.

    python -m benchmarks.call_cost --build .builds/d1804b7 --rounds 7
    python -m benchmarks.call_cost --flame docs/call.svg

The first prints a table, medians of interleaved rounds: CPU milliseconds a Classify of a JPEG of 500 x 375
pixels and 56 KB, to a network that does next to nothing. The second draws what the event loop's thread does
under 16 callers; it needs `pip install py-spy`, and the right to look into a process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.arguments import positive_float, positive_int
from benchmarks.builds import ROOT, THIS, other_build
from benchmarks.flame import draw
from benchmarks.measuring import write_files
from benchmarks.networks import Bundles
from benchmarks.process_tree import cpu_seconds
from benchmarks.processes import output_of, run, running
from benchmarks.served import running_server
from benchmarks.serving_models import photographs
from fovea.errors import Unavailable

CALLERS: Final = (16, 64)
FLAME_CALLERS: Final = 16
SAMPLES_S: Final = 500
COLUMNS: Final = "the event loop's thread | gRPC's threads | the process that speaks gRPC | compute processes"


@dataclass(frozen=True)
class Cpu:
    """Seconds, or milliseconds a call."""

    loop: float
    others: float
    children: float

    @property
    def front(self) -> float:
        return self.loop + self.others

    @staticmethod
    def of(pid: int) -> "Cpu":
        """Of a process so far, and of those that it started."""
        threads = {int(task.name): _ran_s(task) for task in Path(f"/proc/{pid}/task").iterdir()}
        whole = sum(threads.values())
        return Cpu(threads[pid], whole - threads[pid], max(0.0, cpu_seconds(pid) - whole))

    def a_call(self, before: "Cpu", calls: int) -> "Cpu":
        parts = (self.loop - before.loop, self.others - before.others, self.children - before.children)
        return Cpu(*(1000 * seconds / calls for seconds in parts))


def main() -> None:
    options = _parse()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        images = write_files(work / "images", photographs(32, 500, 375))
        older = other_build(options.build) if options.build else THIS
        models = Bundles(work, images, older).of("pool")
        if options.flame:
            _draw(models, images, options.flame, options.seconds)
            return
        with ExitStack() as stack:
            servers = {"gRPC alone": _bare(stack)}
            for build in dict.fromkeys((older, THIS)):
                server = stack.enter_context(running_server(models, build=build))
                servers["Fovea" if build is THIS else f"Fovea {build.name}"] = server.pid, server.target
            _compare(servers, images, options.seconds, options.rounds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.call_cost", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--build", type=Path, help="a checkout to be measured too")
    parser.add_argument("--seconds", type=positive_float, default=3, help="of each measurement")
    parser.add_argument("--rounds", type=positive_int, default=5)
    parser.add_argument("--work", type=Path, help="where the network is kept for the next run")
    parser.add_argument("--flame", type=Path, metavar="SVG", help="draw this instead")
    return parser.parse_args()


def _bare(stack: ExitStack) -> tuple[int, str]:
    script = Path(__file__).with_name("bare_grpc.py")
    program = stack.enter_context(running([sys.executable, script]))
    return program.pid, f"127.0.0.1:{json.loads(program.wait_for('ready'))['port']}"


def _compare(servers: dict[str, tuple[int, str]], images: Path, seconds: float, rounds: int) -> None:
    print(f"| callers | server | {COLUMNS} |\n|---:|---|---:|---:|---:|---:|")
    names = [*servers]
    for callers in CALLERS:
        seen: dict[str, list[Cpu]] = {name: [] for name in names}
        for number in range(rounds):
            first = number % len(names)
            for name in (*names[first:], *names[:first]):
                seen[name].append(_measure(*servers[name], images, callers, seconds))
        for name, costs in seen.items():
            print(f"| {callers} | {name} | {_medians(costs)} |", flush=True)


def _measure(pid: int, target: str, images: Path, callers: int, seconds: float) -> Cpu:
    before = Cpu.of(pid)
    report = json.loads(output_of(_load(target, images, callers, seconds), folder=ROOT))
    return Cpu.of(pid).a_call(before, report["all_images"])


def _medians(costs: Sequence[Cpu]) -> str:
    fields = ("loop", "others", "front", "children")
    return " | ".join(f"{median(getattr(cost, field) for cost in costs):.3f}" for field in fields)


def _load(target: str, images: Path, callers: int, seconds: float) -> list[str]:
    return [
        sys.executable,
        "-m",
        "benchmarks.load",
        target,
        str(images.resolve()),
        str(callers),
        str(seconds),
    ]


def _draw(models: Path, images: Path, svg: Path, seconds: float) -> None:
    with running_server(models) as server, tempfile.NamedTemporaryFile() as stacks:
        load = _load(server.target, images, FLAME_CALLERS, seconds + 2)
        with subprocess.Popen(load, cwd=ROOT, stdout=subprocess.DEVNULL):
            words = f"record -r {SAMPLES_S} -d {seconds:.0f} -f raw -o {stacks.name} -p {server.pid}"
            output_of([_py_spy(), *words.split()])
        svg.write_text(draw(Path(stacks.name).read_text().splitlines()))


def _py_spy() -> Path:
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists():
        raise Unavailable(f"there is no {program}: pip install py-spy")
    return program


def _ran_s(task: Path) -> float:
    return int((task / "schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    run(main)
