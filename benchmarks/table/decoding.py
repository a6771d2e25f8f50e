"""What decoding an image takes of the CPU, and whether the bits and the refusals are the same."""

import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from PIL import Image

from benchmarks.builds import Build
from benchmarks.measuring import write_files
from benchmarks.serving_models import QUALITY, photographs
from benchmarks.table.bench import Bench
from benchmarks.table.rows import Row, Wanted, row

KINDS: Final = {
    "baseline": ("500 x 375", 0.70),
    "progressive": ("500 x 375, progressive", 0.80),
    "large": ("12 megapixels", 0.90),
}
"""Folder -> what is in it, and the ratio that is wanted."""
REFUSED: Final = "refused"

Seen = dict[str, dict[str, Any]]
"""What benchmarks.decode_cost prints."""


def measure(bench: Bench) -> list[Row]:
    """`decode_image` of each kind; then how many files have another outcome than in the older build."""
    folder = write_kinds(bench.work / "decoding")

    def once(build: Build) -> Seen:
        seen: Seen = json.loads(build.run_script("decode_cost.py", str(folder), str(bench.seconds)))
        return seen

    theirs, ours = bench.in_rounds(once)
    rows = []
    for kind, (name, bound) in KINDS.items():
        older, own = ([each[kind]["cpu_ms"] for each in rounds] for rounds in (theirs, ours))
        what = f"decode_image, CPU, {name}"
        rows.append(row(what, bench.older.name, older, own, Wanted("<=", bound), "ms"))
    crops, refusals = (_different(theirs[0], ours[0], kinds) for kinds in (KINDS, (REFUSED,)))
    none = Wanted("<=", 0, "value")
    return [
        *rows,
        Row("decode_image, crops that differ", bench.older.name, 0, crops, math.nan, none),
        Row("decode_image, refusals that differ", bench.older.name, 0, refusals, math.nan, none),
    ]


def _different(theirs: Seen, ours: Seen, kinds: Iterable[str]) -> int:
    """Files whose outcome is another."""
    pairs = (zip(theirs[kind]["outcomes"], ours[kind]["outcomes"], strict=True) for kind in kinds)
    return sum(a != b for each in pairs for a, b in each)


def write_kinds(folder: Path) -> Path:
    small = photographs(32, 500, 375)
    write_files(folder / "baseline", small)
    write_files(folder / "progressive", [_progressive(data) for data in small])
    write_files(folder / "large", photographs(4, 4000, 3000))
    write_files(
        folder / REFUSED, [b"", b"no image", *(small[0][: len(small[0]) * part // 4] for part in (1, 2, 3))]
    )
    return folder.resolve()


def _progressive(data: bytes) -> bytes:
    target = io.BytesIO()
    Image.open(io.BytesIO(data)).save(target, "JPEG", quality=QUALITY, progressive=True)
    return target.getvalue()
