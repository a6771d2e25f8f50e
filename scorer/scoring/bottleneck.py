"""What holds a run up, and which option to turn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scorer.files.rows import StageTime

BUSY: Final = 0.85
"""Of the time of all cores: more than this is not to be had beside what else a machine does."""


SHORT_S: Final = 10.0
"""Of all cores' time: in less, threads that start and end are what keeps the cores from being busy."""


@dataclass(frozen=True)
class Advice:
    """The stage with the least rest, or "cpu" when it is the cores, and what would make the run faster."""

    stage: str
    knob: str


def advise(stages: Mapping[str, StageTime], on_gpu: bool = False) -> Advice | None:
    """By how busy the stages were in one shard, or in many added up; None if there was nothing to do.

    `stages` are those of ShardCounts. On a CPU, the threads that decode also compute, so the two are taken
    together, and the larger one names them.
    """
    shares = {name: utilisation(stage) for name, stage in stages.items()}
    if not any(shares.get(name) for name in ("fetch", "decode", "compute")):
        return None
    if shares.get("cpu", 0.0) >= BUSY:
        return Advice("cpu", _of_full_cores(shares, on_gpu))
    rest = {name: share for name, share in shares.items() if name != "cpu"}
    if not on_gpu:
        rest = _with_threads_taken_together(rest)
    slowest = max(rest, key=lambda name: rest[name])
    return Advice(slowest, _knob(slowest, stages, on_gpu))


def utilisation(stage: StageTime) -> float:
    """From 0 to 1: the part of the time that a stage's workers worked."""
    return stage.busy_s / stage.capacity_s if stage.capacity_s else 0.0


def _with_threads_taken_together(shares: dict[str, float]) -> dict[str, float]:
    decode, compute = shares.pop("decode", 0.0), shares.pop("compute", 0.0)
    return {**shares, "decode" if decode >= compute else "compute": decode + compute}


def _of_full_cores(shares: Mapping[str, float], on_gpu: bool) -> str:
    decode, compute = shares.get("decode", 0.0), shares.get("compute", 0.0)
    text = f"the cores are {min(shares['cpu'], 1):.0%} busy: give it more cores, or run more workers"
    if on_gpu or decode + compute == 0:
        return text
    share = compute / (decode + compute)
    gpu = "; a GPU would take that over" if share >= 0.5 else ""
    return f"{text} (the model has {share:.0%} of the work, decoding {1 - share:.0%}{gpu})"


def _knob(stage: str, stages: Mapping[str, StageTime], on_gpu: bool) -> str:
    if stage == "fetch":
        return "raise --fetch-concurrency: the other stages wait for the store"
    if stage == "write":
        return "give it a faster disk for temporary files (TMPDIR)"
    if stage == "compute" and on_gpu:
        return "raise --batch-size while the GPU's memory allows it, or run more workers with a GPU each"
    if _has_a_thread_a_core(stages) and stages["cpu"].capacity_s < SHORT_S:
        return "the run is too short to tell what would make it faster"
    if _has_a_thread_a_core(stages):
        # The threads are all at work, and yet the process does not get the cores: others have them.
        return "the cores have other work too: give it cores of its own, or run more workers elsewhere"
    return "raise --decode-threads: there are cores without work"


def _has_a_thread_a_core(stages: Mapping[str, StageTime]) -> bool:
    return "cpu" in stages and stages["decode"].capacity_s >= 0.99 * stages["cpu"].capacity_s
