"""What a run would come to: the plan is made but not kept, and a sample of its images is really scored.

The sample goes through `score_shard`, as the run's images would, into a temporary folder.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from fovea.cpus import available_cpus
from fovea.model.classifier import CUDA
from fovea.stores.folder import Folder
from fovea.stores.storage import LocalFolder, open_reachable
from scorer.committing.commit import is_finished
from scorer.config import RunSettings
from scorer.estimate.estimate import Estimate, Part, Price, Reservoir, describe
from scorer.estimate.read_only_folder import read_only
from scorer.files import layout
from scorer.files.committed import missing_shards
from scorer.files.folders import scratch_folder
from scorer.files.manifest import PlannedImage, key_bytes, read_manifest
from scorer.files.plan import Plan, RunSpec
from scorer.files.rows import Status
from scorer.planning.planner import plan_run
from scorer.planning.sharding import ShardLimits, write_shards
from scorer.scoring.pipeline import Resources
from scorer.scoring.shard import ShardSpec, load_classifier, score_shard
from scorer.scoring.work import resources_of

WARM_UP_IMAGES: Final = 64
PARTS: Final = 6
"""The truth is outside of what six parts span once in 32 times, if they are off to either side alike."""
PART_S: Final = 2.0
PART_IMAGES: Final = (32, 512)
SAMPLE_S: Final = 30.0
"""No part begins later than this."""


def dry_run(settings: RunSettings) -> str:
    """What there is to score and what it would take on this machine, for a person to read.

    Reads the output but writes nothing to it. Raises what planning and scoring do.
    """
    output = open_reachable(settings.output)
    sample = Reservoir(WARM_UP_IMAGES + PARTS * PART_IMAGES[1])
    plan = _plan(settings, output, sample)
    finished = is_finished(output, settings.run_id)
    missing = [] if finished else missing_shards(output, plan)
    if _is_planned(output, settings.run_id):
        _take_from(sample, output, plan, missing)
    resources = resources_of(settings)
    statuses, parts = _score(sample, plan.spec, resources)
    on_gpu = bool(parts) and _runs_on_gpu(plan.spec, resources)
    machine = Price(available_cpus(), on_gpu, settings.price_per_hour)
    return describe(plan, sample, len(missing), Estimate(sample.images, parts, statuses), machine)


def _plan(settings: RunSettings, output: Folder, sample: Reservoir) -> Plan:
    """The run's plan. If it is not there yet, its manifests go through the sample and no further."""

    def see(folder: Folder, key: str) -> None:
        if key.endswith(".parquet"):
            sample.add(read_manifest(folder, key))

    with scratch_folder() as scratch:
        return plan_run(settings, read_only(output, LocalFolder(scratch), see))


def _is_planned(output: Folder, run: str) -> bool:
    """Whether the run was planned in earnest before."""
    return output.exists(f"{layout.plan_folder(run)}/{layout.PLAN}")


def _take_from(sample: Reservoir, output: Folder, plan: Plan, missing: list[int]) -> None:
    for index in missing:
        sample.add(read_manifest(output, plan.shards[index].manifest))


def _score(sample: Reservoir, run: RunSpec, resources: Resources) -> tuple[Counter[Status], list[Part]]:
    """How long the parts took, and what became of their images. No part if there is nothing to score."""
    statuses: Counter[Status] = Counter()
    parts: list[Part] = []
    with scratch_folder() as scratch:
        deadline = time.monotonic() + SAMPLE_S
        for part in _parts(sample, run, resources, scratch):
            parts.append(part)
            statuses.update(part.statuses)
            if time.monotonic() > deadline:
                break
    return statuses, parts


def _parts(sample: Reservoir, run: RunSpec, resources: Resources, scratch: Path) -> Iterator[Part]:
    images = sample.images_at_random()
    if not images:
        return
    warm_up = images[:WARM_UP_IMAGES]
    warm = _score_part(warm_up, run, resources, scratch / "warm-up")
    # Few images are scored twice: what the first time costs (threads, connections) is not the run's speed.
    rest = images[WARM_UP_IMAGES:] if len(images) >= 2 * WARM_UP_IMAGES else images
    fewest, most = PART_IMAGES
    size = min(most, max(fewest, round(PART_S * len(warm_up) / warm.seconds)))
    remaining = iter(rest)
    for number in range(PARTS):
        part = list(islice(remaining, size))
        if number and len(part) < fewest:  # too few to tell a speed by
            return
        yield _score_part(part, run, resources, scratch / f"part-{number}")


def _score_part(images: list[PlannedImage], run: RunSpec, resources: Resources, folder: Path) -> Part:
    output = LocalFolder(folder)
    images = sorted(images, key=lambda image: key_bytes(image.entry.key))
    limits = ShardLimits(len(images), sys.maxsize)
    (shard,) = write_shards(output, run.run, images, limits, run.max_image_bytes)
    started = time.perf_counter()
    score_shard(ShardSpec(output.uri, run, shard, resources))
    seconds = time.perf_counter() - started
    path = f"{layout.run_folder(run.run)}/{layout.shard_file(0)}"
    statuses = pq.read_table(folder / path, columns=["status"])["status"].to_pylist()
    return Part(len(images), seconds, Counter(statuses))


def _runs_on_gpu(run: RunSpec, resources: Resources) -> bool:
    classifier = load_classifier(
        run, resources.provider, resources.threads, resources.model_cache, resources.batch_size
    )
    return classifier.provider == CUDA
