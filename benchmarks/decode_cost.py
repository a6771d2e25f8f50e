"""What `decode_image` takes of the CPU, and what comes out, in the build whose packages are in the path.

    PYTHONPATH=CHECKOUT python -P benchmarks/decode_cost.py FOLDER SECONDS

FOLDER has a folder of files for each kind. Prints, as JSON, for each kind the CPU milliseconds of an image
(the median) and the outcome of each file: the digest of its crop, or for which reason it is refused.
"""

import hashlib
import json
import statistics
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_package = "fovea.images.preprocess" if find_spec("fovea.images") else "fovea.preprocess"  # as it was called
_path: Any = import_module(_package)
SPEC = _path.PreprocessSpec(size=224, resize=256)


def main() -> None:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    kinds = sorted(each for each in folder.iterdir() if each.is_dir())
    print(json.dumps({kind.name: _measure(kind, seconds) for kind in kinds}))


def _measure(kind: Path, seconds: float) -> dict[str, Any]:
    files = [file.read_bytes() for file in sorted(kind.iterdir())]
    outcomes = [_outcome(data) for data in files]
    taken = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for data in files:
            started = time.thread_time()
            _outcome(data)
            taken.append(1000 * (time.thread_time() - started))
    return {"cpu_ms": statistics.median(taken), "outcomes": outcomes}


def _outcome(data: bytes) -> str:
    try:
        crop = _path.decode_image(data, SPEC)
    except Exception as error:
        return f"refused: {error.reason}"  # type: ignore[attr-defined]  # any other error is a bug
    return hashlib.sha256(crop.tobytes()).hexdigest()


if __name__ == "__main__":
    main()
