"""What a call takes of the CPU of the process that makes it, by `fovea.client` of the build in the path.

    PYTHONPATH=CHECKOUT python -P benchmarks/client_cost.py TARGET IMAGES SECONDS classify|classify_many

Prints the CPU milliseconds of a call.
"""

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fovea.client import Client

WARM_UP_CALLS: Final = 20


def main() -> None:
    target, images, seconds, way = sys.argv[1:]
    files = itertools.cycle([file.read_bytes() for file in sorted(Path(images).iterdir())])
    with Client(target, timeout_s=60) as client:
        for _ in range(WARM_UP_CALLS):
            client.classify(next(files))
        started, until, calls = time.process_time(), time.perf_counter() + float(seconds), 0
        for _ in _answers(client, way, files, until):
            calls += 1
        print(1000 * (time.process_time() - started) / calls)


def _answers(client: Client, way: str, files: Iterator[bytes], until: float) -> Iterator[object]:
    images = itertools.takewhile(lambda _: time.perf_counter() < until, files)
    if way == "classify":
        return (client.classify(image) for image in images)
    return client.classify_many(images)


if __name__ == "__main__":
    main()
