"""What no server on these cores can exceed: processes that do nothing but decode.

    python -m benchmarks.gpu.decoding FOLDER SPEC SECONDS

SPEC is a PreprocessSpec as JSON. Says that it is ready, waits for a line, and prints images/s.
"""

import itertools
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu.rates import rate
from fovea.images.preprocess import decode_image
from fovea.images.spec import PreprocessSpec

AT_A_TIME = 4


def decoded_per_s(photographs: Path, spec: PreprocessSpec, processes: int, seconds: float) -> float:
    """Images/s of so many processes, which begin together."""
    command = [sys.executable, "-m", "benchmarks.gpu.decoding", str(photographs), spec.model_dump_json()]
    started = [
        subprocess.Popen([*command, str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout
        process.stdout.readline()
    for process in started:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in started)


def main() -> None:
    folder, spec, seconds = Path(sys.argv[1]), PreprocessSpec.model_validate_json(sys.argv[2]), sys.argv[3]
    files = itertools.cycle([file.read_bytes() for file in sorted(folder.iterdir())])
    print("ready", flush=True)
    sys.stdin.readline()
    print(rate(lambda: len([decode_image(next(files), spec) for _ in range(AT_A_TIME)]), float(seconds)))


if __name__ == "__main__":
    main()
