"""A run's shards, added up."""

import pyarrow as pa

from fovea.model.classifier import CPU, CUDA
from scorer.committing.totals import Totals
from scorer.files.rows import ShardCounts, StageTime
from scorer.files.summary import BadExample, StageSummary
from scorer.scoring.bottleneck import advise


def rows(*statuses: str, start: int = 0) -> pa.Table:
    labels = ["red" if status == "ok" else None for status in statuses]
    columns = {
        "key": [f"{start + place}.jpg" for place in range(len(statuses))],
        "status": pa.array(statuses, pa.string()).dictionary_encode(),
        "error": [None if status == "ok" else f"it is {status}" for status in statuses],
        "label": pa.array(labels, pa.string()).dictionary_encode(),
        "probability": pa.array([label and 0.9 for label in labels], pa.float32()),
        "abstained": [False] * len(statuses),
    }
    return pa.table(columns)


def counts(elapsed_s: float, carried: int = 0, **stages: tuple[float, float]) -> ShardCounts:
    times = {name: StageTime(*stage) for name, stage in stages.items()}
    return ShardCounts({}, elapsed_s, times, carried, CPU)


def test_rows_are_counted_by_status_and_the_bad_ones_are_given_back() -> None:
    totals = Totals()
    assert (totals.images, totals.bad_images) == (0, 0)
    bad = totals.add(rows("ok", "gone", "ok", "undecodable"))
    assert bad["key"].to_pylist() == ["1.jpg", "3.jpg"]
    totals.add(rows("ok", "ok", "gone", start=4))
    assert (totals.images, totals.bad_images) == (7, 3)
    assert totals.statuses == {"ok": 4, "gone": 2, "undecodable": 1}
    assert totals.distribution.labels == {"red": 4}


def test_the_first_five_of_each_bad_status_are_examples() -> None:
    totals = Totals()
    for start in (0, 4, 8):
        totals.add(rows("gone", "ok", "gone", "too_large", start=start))
    keys = {status: [row.key for row in examples] for status, examples in totals.bad_examples.items()}
    assert keys == {
        "gone": ["0.jpg", "2.jpg", "4.jpg", "6.jpg", "8.jpg"],
        "too_large": ["3.jpg", "7.jpg", "11.jpg"],
    }
    assert totals.bad_examples["gone"][0] == BadExample(key="0.jpg", error="it is gone")


def test_the_shards_times_are_added_up_to_a_thousandth() -> None:
    totals = Totals()
    totals.count(counts(1.5, 2, fetch=(1.2341, 2), cpu=(0, 0)))
    totals.count(counts(2.0, 1, fetch=(0.0003, 1)))
    assert (totals.seconds, totals.carried) == (3.5, 3)
    assert totals.stage_summaries() == {
        "fetch": StageSummary(busy_s=1.234, utilisation=0.411),
        "cpu": StageSummary(busy_s=0, utilisation=0),
    }
    totals.count(counts(0, decode=(0.0126, 2)))
    assert totals.stage_summaries()["decode"] == StageSummary(busy_s=0.013, utilisation=0.006)


def test_carried_rows_make_no_run_faster() -> None:
    totals = Totals()
    totals.count(counts(2.0, carried=3))
    totals.add(rows("ok", "ok", "gone", "ok", "ok"))
    assert totals.images_per_s == 1.0
    assert Totals().images_per_s == 0.0


def test_the_advice_is_for_what_ran_the_model() -> None:
    assert Totals().advice is None
    times = {"fetch": StageTime(0.1, 1), "decode": StageTime(0.5, 1), "compute": StageTime(0.7, 1)}
    for provider in (CPU, CUDA):
        totals = Totals()
        totals.count(ShardCounts({}, 1.0, times, 0, provider))
        assert totals.advice == advise(times, provider == CUDA)
    assert advise(times, True) != advise(times, False)
