"""What nvidia-smi says of the GPU, and how busy it was for a while."""

import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

EVERY_MS = 50


def query(*fields: str) -> list[str]:
    """Of the first GPU, as nvidia-smi names them. Raises OSError where it is missing."""
    output = subprocess.run(_smi(*fields), capture_output=True, text=True, check=True).stdout
    return [value.strip() for value in output.splitlines()[0].split(",")]


def used_mb() -> int | None:
    """Memory of the device that is taken, by whomever; None where nvidia-smi does not say."""
    try:
        return int(query("memory.used")[0])
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


@dataclass
class Busy:
    """Filled in when the block has ended."""

    share: float = 0.0
    """Of the time, in which some kernel ran."""


@contextmanager
def busy() -> Iterator[Busy]:
    """How busy the GPU is in the block: the median of what nvidia-smi shows every 50 ms."""
    seen = Busy()
    command = [*_smi("utilization.gpu"), "--loop-ms", str(EVERY_MS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        try:
            yield seen
        finally:
            watching.terminate()
            readings = [int(line) for line in watching.communicate()[0].split() if line.isdecimal()]
    seen.share = statistics.median(readings) / 100 if readings else 0.0


def _smi(*fields: str) -> list[str]:
    return ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", "--id=0"]
