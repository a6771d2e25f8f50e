"""A night of scoring on a GPU, beside each of its stages alone."""

import os
import tempfile
from pathlib import Path

from benchmarks import scoring_loops
from benchmarks.gpu.decoding import decoded_per_s
from benchmarks.gpu.rows import attempt, measured
from benchmarks.gpu.sessions import session_rates
from benchmarks.gpu.sizes import Sizes, arguments, models_in, photographs_in
from benchmarks.scoring import SOURCE, Night
from benchmarks.static_store import running_store
from fovea.cpus import available_cpus
from fovea.model import versions
from scorer.scoring.pipeline import GPU_BATCH


def main() -> None:
    content, sizes = arguments("scoring")
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_store(photographs_in(content), sizes.scored) as store,
    ):
        os.environ.update(store.environment)
        alone: dict[str, float] = {}
        with attempt("each stage alone"):
            alone = _alone(content, sizes)
            measured("each stage alone", {f"{name}, images/s": rate for name, rate in alone.items()})
        with attempt("python -m scorer work"):
            _night(Night(models_in(content), Path(scratch), store.pid, sizes.device), alone)


def _alone(content: Path, sizes: Sizes) -> dict[str, float]:
    models, cores = models_in(content), available_cpus()
    bundle = versions.fetch(str(models))
    fetched = scoring_loops.run("fetch", models, SOURCE, min(sizes.scored, 1000), sizes.seconds, 1)
    spec = bundle.contract.preprocess
    (session,) = session_rates(bundle, "fp32", sizes.device, (GPU_BATCH,), sizes.seconds)
    return {
        "fetching": fetched.images_s,
        "decoding": decoded_per_s(photographs_in(content), spec, cores, sizes.seconds),
        "computing": session.bound,
    }


def _night(night: Night, alone: dict[str, float]) -> None:
    counts = night.run()
    rate = sum(counts.statuses.values()) / counts.elapsed_s
    slowest = min(alone, key=lambda name: alone[name], default="")
    share = {f"of {slowest}, the slowest": rate / alone[slowest]} if slowest else {}
    stages = ", ".join(f"{name} {stage.busy_s:.1f} s" for name, stage in counts.stages.items())
    store = {"cores of the store": night.store_cores[-1]}
    measured("python -m scorer work", {"images/s": rate, **share, **store}, f"{counts.provider}; {stages}")


if __name__ == "__main__":
    main()
