"""A night as spans: of one machine, and of a Job's workers, who go on with the driver's trace."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fovea import tracing
from scorer.cluster.job import job_body
from tests.collector import Collector, collecting
from tests.scorer.cluster.test_job import MINIMAL
from tests.scorer.runs import flags, scorer

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as (collector, url):
        monkeypatch.setenv(tracing.ENDPOINT, url)
        monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-{PARENT}-01")
        yield collector


def test_night_is_a_span_with_its_plan_its_shards_and_its_commit(
    photos: Path, tiny_models: Path, output: Path, collector: Collector
) -> None:
    ended = scorer("run", *flags(photos, tiny_models, output, "--shard-images", "6"))
    assert ended.returncode == 0, ended.stderr
    night = collector.wait_for(lambda span: span.name == "scorer run")
    assert (night.service, night.trace_id, night.parent) == ("fovea-score", TRACE, PARENT)
    assert night.attributes == {"fovea.run": "night-1"}
    parts = sorted((span for span in collector.spans() if span is not night), key=lambda span: span.ended_ns)
    assert [span.name for span in parts] == ["plan", "shard", "shard", "commit"]
    assert {span.parent for span in parts} == {night.span_id}
    shards = [span.attributes for span in parts if span.name == "shard"]
    assert shards == [
        {"fovea.shard": 0, "fovea.images": 6, "fovea.carried": 0},
        {"fovea.shard": 1, "fovea.images": 6, "fovea.carried": 0},
    ]


def test_workers_of_a_job_are_told_whose_trace_they_are_part_of(collector: Collector) -> None:
    tracing.set_up("fovea-score")
    with tracing.span("job"):
        body = job_body(MINIMAL, "s3://bucket/scores", "night-1", 3, tracing.carried())
    tracing.shut_down()
    (job,) = collector.spans()
    (container,) = body["spec"]["template"]["spec"]["containers"]
    given = {variable["name"]: variable["value"] for variable in container["env"]}
    assert given["TRACEPARENT"].startswith(f"00-{job.trace_id}-{job.span_id}-")
    assert given["FOVEA_SCORE_RUN_ID"] == "night-1"
