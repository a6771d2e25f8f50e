"""What users see, as `recorded/` has it: a test fails where it changes, `make surface` writes it anew."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

RECORDED: Final = Path(__file__).parent / "recorded"


def compare(name: str, seen: object) -> None:
    """`seen` against what `recorded/NAME` holds: a text as it is, anything else as JSON."""
    text = seen if isinstance(seen, str) else json.dumps(seen, indent=1, ensure_ascii=False) + "\n"
    file = RECORDED / name
    if "RECORD_SURFACE" in os.environ:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    assert text.splitlines() == before.splitlines(), (
        f"users see a change of {name}; if it is meant: make surface"
    )


def files_below(folder: Path) -> dict[str, list[str]]:
    """The files by their path, with the keys of those that are JSON."""
    return {name_below(folder, path): _keys_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def name_below(folder: Path, file: Path) -> str:
    """Its path, with digests masked."""
    return re.sub(r"(?<=[-/])[0-9a-f]{8,64}(?=\.)", "DIGEST", file.relative_to(folder).as_posix())


def _keys_of(file: Path) -> list[str]:
    return sorted(set(_keys(json.loads(file.read_bytes())))) if file.suffix == ".json" else []


def _keys(value: object, path: str = "") -> Iterator[str]:
    """`metrics.per_class.0.images`, and `labels[]` for what is in a list."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _keys(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        yield f"{path}[]"
        for inner in value:
            yield from _keys(inner, f"{path}[]")
    else:
        yield path
