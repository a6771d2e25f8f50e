"""A folder in parts of a largest size, each beside the script that puts them together again."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from benchmarks.gpu import kit


def pack(content: Path, target: Path, part_bytes: int, level: int) -> list[Path]:
    """Writes `target`/part-N/ with a part, the script and the manifest each; gives the parts."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(content, ".")
    joined = pa.Codec("zstd", compression_level=level).compress(archive.getbuffer(), asbytes=True)
    pieces = [joined[start : start + part_bytes] for start in range(0, len(joined), part_bytes)]
    names = [f"part-{number}.bin" for number, _ in enumerate(pieces, 1)]
    manifest = {
        "commit": _commit(),
        "digest": hashlib.sha256(joined).hexdigest(),
        "parts": [
            {"name": name, "bytes": len(piece), "sha256": hashlib.sha256(piece).hexdigest()}
            for name, piece in zip(names, pieces, strict=True)
        ],
    }
    return [_write(target, name, piece, manifest) for name, piece in zip(names, pieces, strict=True)]


def _write(target: Path, name: str, piece: bytes, manifest: Mapping[str, object]) -> Path:
    folder = target / name.removesuffix(".bin")
    folder.mkdir(parents=True)
    (folder / name).write_bytes(piece)
    (folder / kit.MANIFEST).write_text(json.dumps(manifest, indent=1))
    shutil.copy(kit.__file__, folder / "kit.py")
    return folder / name


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    described = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "unknown"
