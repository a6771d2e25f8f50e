"""Puts the tests of rooms to the test.

Each mutant has one small fault in one module of a room; the tests of that room should fail. Works in copies
of the checkout in a temporary folder.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.mutations import Mutant, mutants_of_room
from tests.mutants.rooms import ROOMS, Room
from tests.mutants.tester import BaselineFailed, Fate, Tester, Verdict

TOLD_EVERY = 20
ROW = "{:<28}{:>9}{:>9}{:>9}{:>11}{:>10}{:>8}"


def main() -> int:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        rooms = [Room.named(name, *options.tests) for name in options.room]
        rows = [_row(room, options) for room in rooms]
    except (BaselineFailed, ValueError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    except KeyboardInterrupt:
        return 130
    print(ROW.format("room", "mutants", "tested", "killed", "timed out", "survived", "dead"), *rows, sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("room", nargs="*", default=ROOMS, help="a room, a module of it, or MODULE:LINE")
    parser.add_argument("--tests", action="append", default=[], help="instead of the tests of the room")
    parser.add_argument("--sample", type=int, help="test so many mutants of each room, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--verbose", action="store_true", help="tell of each mutant which test killed it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants tested at a time")
    return parser


def _row(room: Room, options: argparse.Namespace) -> str:
    mutants = mutants_of_room(room)
    if not mutants:
        raise ValueError(f"ROOM={room.name}: there is nothing in it that a mutant would change")
    drawn = _draw(room, mutants, options)
    print(f"{room.name}: {len(drawn)} of {len(mutants)} mutants (seed {options.seed})", flush=True)
    fates = Counter(_test(room, drawn, options.jobs, verbose=options.verbose))
    dead = fates[Fate.KILLED] + fates[Fate.TIMEOUT]
    counts = (fates[Fate.KILLED], fates[Fate.TIMEOUT], fates[Fate.SURVIVED])
    return ROW.format(room.name, len(mutants), len(drawn), *counts, f"{dead / max(1, len(drawn)):.0%}")


def _draw(room: Room, mutants: Sequence[Mutant], options: argparse.Namespace) -> Sequence[Mutant]:
    if options.sample is None or options.sample >= len(mutants):
        return mutants
    chosen = random.Random(f"{options.seed} {room.name}").sample(range(len(mutants)), options.sample)
    return [mutants[index] for index in sorted(chosen)]


def _test(room: Room, mutants: Sequence[Mutant], jobs: int, *, verbose: bool) -> Iterator[Fate]:
    """Each mutant's fate, in their order. Prints the survivors."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ExitStack() as stack:
        pool = ThreadPoolExecutor(jobs)
        stack.callback(pool.shutdown, cancel_futures=True)
        testers = [stack.enter_context(Tester(room, _new(Path(folder, str(job))))) for job in range(jobs)]
        baseline = testers[0].baseline()
        free: SimpleQueue[Tester] = SimpleQueue()
        for tester in testers:
            tester.import_ahead(baseline.imported)
            free.put(tester)
        list(pool.map(lambda tester: tester.check(baseline), testers))

        def verdict(mutant: Mutant) -> tuple[Verdict, float]:
            tester, started = free.get(), time.monotonic()
            try:
                return tester.test(mutant, baseline), time.monotonic() - started
            finally:
                free.put(tester)

        verdicts = zip(mutants, pool.map(verdict, mutants), strict=True)
        for tested, (mutant, ((outcome, test), seconds)) in enumerate(verdicts):
            if tested and not tested % TOLD_EVERY:
                print(f"{tested} of {len(mutants)} tested", flush=True)
            if outcome is Fate.SURVIVED:
                print(f"\nsurvived ({mutant.operator}, {seconds:.1f} s)\n{mutant.diff()}", flush=True)
            elif verbose:
                print(
                    f"{mutant.module}:{mutant.line} ({mutant.operator}) {outcome.value} by {test}", flush=True
                )
            yield outcome


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
