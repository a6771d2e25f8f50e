"""Measures Fovea on a machine with a GPU, PyTorch and no internet; stands alone beside the kit's parts.

    OUT=results python3 kit.py

Each of the kit's folders holds one part and this script. They may all lie beside each other, or be brought
one after the other: the script keeps what it is brought, says what is missing, and once all is there unpacks
it and becomes `python -m benchmarks.gpu.run`, which measures.
"""

import argparse
import hashlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
MANIFEST: Final = "manifest.json"
CACHES: Final = ("XDG_CACHE_HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures Fovea on a GPU; takes the options of the run too.")
    parser.add_argument("--home", type=Path, help="where parts are kept and unpacked; by default, below /tmp")
    parser.add_argument("--source", type=Path, help="a checkout with mended code, in place of the kit's own")
    options, others = parser.parse_known_args()
    manifest = json.loads((HERE / MANIFEST).read_text())
    folder = _own_folder(options.home) / manifest["digest"]
    missing = keep_parts(folder, manifest)
    if missing:
        print(f"kept; still to be brought: {', '.join(missing)}")
        return
    content = unpack(folder, manifest)
    source = (options.source or content / "source").resolve()
    out = Path(os.environ.get("OUT", "results")).resolve()
    os.chdir(source)
    run = [sys.executable, "-m", "benchmarks.gpu.run", str(content), str(out), *others]
    os.execve(sys.executable, run, environment(content, source))


def _own_folder(wanted: Path | None) -> Path:
    home = (wanted or Path(tempfile.gettempdir()) / f"fovea-gpu-{os.getuid()}").resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if home.stat().st_uid != os.getuid():
        sys.exit(f"{home}: belongs to another user; name a folder of your own with --home")
    return home


def keep_parts(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Copies into `kept` what was brought; gives the names of the parts that are missing."""
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    for part in manifest["parts"]:
        place = folder / part["name"]
        brought = next(iter(HERE.parent.glob(f"*/{part['name']}")), None)
        if brought and not place.exists():
            _check(brought, brought.read_bytes(), part["sha256"])
            shutil.copy(brought, place.with_suffix(".partial"))
            place.with_suffix(".partial").rename(place)
    return [part["name"] for part in manifest["parts"] if not (folder / part["name"]).exists()]


def unpack(folder: Path, manifest: dict[str, Any]) -> Path:
    """Joins the parts and installs the wheels into a folder, once. Gives the folder of what was in them."""
    content = folder / "content"
    if content.exists():
        return content
    import pyarrow as pa

    joined = b"".join((folder / part["name"]).read_bytes() for part in manifest["parts"])
    _check(folder, joined, manifest["digest"])
    scratch = Path(tempfile.mkdtemp(dir=folder))
    stream: Any = pa.CompressedInputStream(pa.BufferReader(joined), "zstd")
    with tarfile.open(fileobj=io.BufferedReader(stream), mode="r|") as archive:
        archive.extractall(scratch, filter="data")
    wheels = sorted(map(str, (scratch / "wheels").iterdir()))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*install, "--no-deps", "--no-compile", "--target", scratch / "site", *wheels], check=True)
    _link_libraries(scratch / "site")
    scratch.rename(content)
    return content


def _check(what: Path, data: bytes, sha256: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        sys.exit(f"{what}: is damaged (its sha256 is another): bring it again")


def _link_libraries(site: Path) -> None:
    """onnxruntime looks for CUDA's libraries beside itself, and not beside the torch that brought them."""
    spec = importlib.util.find_spec("nvidia")
    if spec and spec.submodule_search_locations and not (site / "nvidia").exists():
        (site / "nvidia").symlink_to(next(iter(spec.submodule_search_locations)))


def environment(content: Path, source: Path) -> dict[str, str]:
    """Caches lie in the kit's own folder: the user's may be read-only. Threads wait as the trainer's do."""
    own = {**dict.fromkeys(CACHES, str(content / "cache")), "OMP_WAIT_POLICY": "passive"}
    return {**os.environ, **own, "PYTHONPATH": f"{content / 'site'}:{source}", "PYTHONUNBUFFERED": "1"}


if __name__ == "__main__":
    main()
