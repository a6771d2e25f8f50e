"""What the allocator is told is seen by what the process keeps, so each is tried in a process of its own."""

import subprocess
import sys

PROGRAM = """
import ctypes, sys
from pathlib import Path
from fovea import malloc

for name in sys.argv[1:]:
    getattr(malloc, name)()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

before = resident_mb()
# Twice: by itself glibc learns from the first large block that was freed to keep the next.
for _ in range(2):
    blocks = [libc.malloc(8 * 2**20) for _ in range(8)]
    for block in blocks:
        ctypes.memset(block, 1, 8 * 2**20)
    for block in blocks:
        libc.free(block)
print(resident_mb() - before)
"""


def kept_mb(*functions: str) -> float:
    """Of 64 MB in large blocks, what the process still has after it freed them."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *functions], capture_output=True, text=True, check=True
    )
    return float(run.stdout)


def test_large_blocks_go_back_where_that_is_asked_for_and_stay_where_the_next_step_takes_them() -> None:
    assert kept_mb("return_large_blocks", "share_one_heap") < 16
    assert kept_mb("keep_freed_memory") > 48
