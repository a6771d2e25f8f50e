"""A flame graph, small enough to be committed: of stacks as `py-spy record -f raw` writes them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Final

WIDTH: Final = 1200
ROW: Final = 19
LETTER: Final = 6.6
"""Wide, in the font's size."""
LEAST: Final = 0.004
"""Of the whole, that is drawn."""
ROOT: Final = re.compile(r"^(_run_once|BaseEventLoop\._run_once) ")
WAITS: Final = re.compile(r"^(EpollSelector\.)?select ")
"""What a profiler cannot tell from work."""
COMPILED: Final = "gRPC's compiled code, with asyncio's (grpc/cygrpc)"
"""What a handle of the event loop calls that is not Python: a profiler sees it as the handle's own time."""
COLOURS: Final = {
    "server": "#f4a259",
    "fovea": "#f6c177",
    "prometheus_client": "#8cb369",
    "grpc": "#c8b6e2",
    "asyncio": "#bcd4e6",
}
OTHERS: Final = "#dddddd"


@dataclass
class Frame:
    """A function, with what it called."""

    samples: int = 0
    callees: dict[str, "Frame"] = field(default_factory=dict)

    def add(self, stack: list[str], samples: int) -> None:
        self.samples += samples
        if stack:
            self.callees.setdefault(stack[0], Frame()).add(stack[1:], samples)


def draw(lines: Iterable[str]) -> str:
    """An SVG of what the event loop's thread does: widths are shares of its time; below is what calls."""
    whole = tree(lines)
    boxes = [*_boxes(whole, 0, 0.0, whole.samples)]
    height = ROW * (max((row for row, *_ in boxes), default=0) + 2)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace"'
    shapes = "\n".join(_box(*box, height) for box in boxes)
    return f'{head} font-size="11">\n<rect width="100%" height="100%" fill="white"/>\n{shapes}\n</svg>\n'


def tree(lines: Iterable[str]) -> Frame:
    """What is called from the event loop, without its waiting; functions without their lines."""
    whole = Frame()
    for line in lines:
        stack, _, samples = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        at = next((index for index, frame in enumerate(frames) if ROOT.match(frame)), None)
        if at is not None and not WAITS.match(frames[-1]):
            compiled = [COMPILED] if frames[-1].startswith("Handle._run ") else []
            whole.add([*frames[at + 1 :], *compiled], int(samples))
    return whole


Box = tuple[int, float, float, str]


def _boxes(frame: Frame, row: int, start: float, whole: int) -> Iterable[Box]:
    """Row, where it begins and how wide it is (both of 1), and the name."""
    for name, callee in sorted(frame.callees.items()):
        share = callee.samples / whole
        if share >= LEAST:
            yield row, start, share, name
            yield from _boxes(callee, row + 1, start, whole)
        start += share


def _box(row: int, start: float, share: float, name: str, height: int) -> str:
    x, width, y = WIDTH * start, WIDTH * share, height - ROW * (row + 1) - 2
    function, _, file = name.removesuffix(")").rpartition(" (")
    package = file.partition("/")[0]
    text = _label(function.rpartition(".<locals>.")[2], int((width - 4) / LETTER))
    title = f"<title>{escape(f'{function} ({file}), {share:.1%}')}</title>"
    shape = f'<rect x="{x:.1f}" y="{y}" width="{max(0.5, width - 0.5):.1f}" height="{ROW - 1}"'
    label = f'<text x="{x + 2:.1f}" y="{y + 13}">{escape(text)}</text>' if text else ""
    return f'<g>{title}{shape} fill="{COLOURS.get(package, OTHERS)}"/>{label}</g>'


def _label(function: str, letters: int) -> str:
    """With its class where there is room; nothing where a name would be cut."""
    names = (function, function.rpartition(".")[2])
    return next((name for name in names if len(name) <= letters), "")
