import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fovea.model.bundle import ModelBundle
from fovea.model.classifier import CUDA, Classifier
from fovea.stores.folder import Entry
from fovea.stores.storage import open_folder
from scorer.files.plan import Plan
from scorer.scoring.pipeline import Pipeline, Resources, Scored, Stopwatch
from scorer.scoring.work import resources_of
from tests.scorer.runs import planned, settings_for


@pytest.fixture
def plan(photos: Path, tiny_models: Path, output: Path) -> Plan:
    """Of 12 good images and, between them, a bad one."""
    (photos / "005-bad.png").write_bytes(b"bad")
    return planned(settings_for(photos, tiny_models, output))


@pytest.fixture
def entries(plan: Plan, photos: Path) -> list[Entry]:
    return list(open_folder(str(photos)).entries())


@pytest.fixture
def resources(photos: Path, tiny_models: Path, output: Path) -> Resources:
    return resources_of(settings_for(photos, tiny_models, output))


def scored(pipeline: Pipeline, entries: list[Entry]) -> list[Scored]:
    with pipeline.scored(entries) as batches:
        return list(batches)


def images(batches: list[Scored]) -> list[tuple[str, object]]:
    return [
        (entry.key, outcome)
        for batch in batches
        for entry, outcome in zip(batch.entries, batch.outcomes, strict=True)
    ]


def test_what_a_gpu_would_do_gives_the_same_answers(
    plan: Plan, entries: list[Entry], resources: Resources, tiny_bundle: ModelBundle
) -> None:
    classifier = Classifier(tiny_bundle, "cpu", 1)
    on_cpu = scored(Pipeline(plan.spec, resources, 13, classifier), entries)
    classifier.provider = CUDA  # the pipeline goes by what the classifier says of itself
    on_gpu = scored(Pipeline(plan.spec, resources, 13, classifier), entries)
    assert images(on_gpu) == images(on_cpu)
    assert {file for batch in (*on_cpu, *on_gpu) for file in batch.files} == {None}, "nobody wants them"
    assert [len(batch.entries) for batch in on_cpu] == [4, 4, 4, 1]
    assert [len(batch.entries) for batch in on_gpu] == [13]


def test_large_files_make_small_batches(
    plan: Plan, entries: list[Entry], resources: Resources, tiny_classifier: Classifier
) -> None:
    largest = max(entry.size for entry in entries)
    tight = replace(resources, batch_size=13, max_inflight_bytes=8 * largest)
    batches = scored(Pipeline(plan.spec, tight, 13, tiny_classifier), entries)
    assert [key for key, _ in images(batches)] == [entry.key for entry in entries]
    assert all(sum(entry.size for entry in batch.entries) <= 3 * largest for batch in batches)


def test_the_stages_and_the_cores_are_timed(
    plan: Plan, entries: list[Entry], resources: Resources, tiny_classifier: Classifier
) -> None:
    pipeline = Pipeline(plan.spec, resources, 13, tiny_classifier)
    scored(pipeline, entries)
    elapsed_s, stages = pipeline.elapsed()
    assert elapsed_s > 0
    assert all(stages[name].busy_s > 0 for name in ("fetch", "decode", "compute", "cpu"))
    assert all(stage.busy_s <= stage.capacity_s for stage in stages.values())


def test_a_stopwatch_adds_up_the_time_of_all_threads() -> None:
    watch = Stopwatch()
    together = threading.Barrier(3, timeout=30)

    def work() -> None:
        with watch.running():
            together.wait()
            started = time.perf_counter()
            while time.perf_counter() < started + 0.02:
                pass

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.busy_s >= 0.06
