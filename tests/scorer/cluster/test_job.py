"""The Job's body: what is the driver's, what the template's, and that Kubernetes takes it."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from fovea.errors import SettingsInvalid
from scorer.cluster.job import job_body, job_name, read_template, scores

MINIMAL: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "spec": {"template": {"spec": {"containers": [{"name": "worker", "image": "fovea-serve"}]}}},
}


def with_containers(containers: list[Any]) -> dict[str, Any]:
    return {**MINIMAL, "spec": {"template": {"spec": {"containers": containers}}}}


@pytest.fixture
def body() -> dict[str, Any]:
    return job_body(MINIMAL, "s3://bucket/scores", "night-1", 3)


@pytest.mark.parametrize(
    "run", ["night-1", "20261125T154536Z", "Nightly_2026.11.25", "a" * 100, "x-" * 30, "7"]
)
def test_a_name_is_a_dns_label_with_room_for_the_index(run: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", job_name(run))
    assert len(f"{job_name(run)}-99999") <= 63


def test_a_name_is_the_runs_own_where_it_can_be() -> None:
    assert job_name("fovea-score-29384720") == "fovea-score-29384720-work"


def test_runs_that_differ_by_little_have_names_that_differ() -> None:
    runs = ["night-1", "Night-1", "night.1", "night_1", "night-1-", "a" * 99, "a" * 100]
    assert len({job_name(run) for run in runs}) == len(runs)


@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()])
def test_the_least_template_becomes_a_job_that_is_valid(body: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(body, version, strict=True)


def test_what_is_left_open_is_filled_in(body: dict[str, Any]) -> None:
    spec = body["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (5, 1)
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    container = spec["template"]["spec"]["containers"][0]
    assert [*container["command"], *container["args"]] == ["python", "-m", "scorer", "work"]


def test_pod_failures_are_ignored_end_the_index_or_end_the_job(body: dict[str, Any]) -> None:
    disruption, bad_data, usage = body["spec"]["podFailurePolicy"]["rules"]
    assert disruption["action"] == "Ignore"
    assert disruption["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert (bad_data["action"], bad_data["onExitCodes"]["values"]) == ("FailIndex", [65])
    assert (usage["action"], usage["onExitCodes"]["values"]) == ("FailJob", [2])


def test_what_the_template_says_of_failures_holds() -> None:
    template = {**MINIMAL, "spec": {**MINIMAL["spec"], "backoffLimitPerIndex": 0, "maxFailedIndexes": 2}}
    spec = job_body(template, "out", "night-1", 3)["spec"]
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (0, 2)


def test_the_templates_own_name_size_and_labels_do_not_get_in_the_way() -> None:
    metadata = {"name": "x", "generateName": "y", "namespace": "z", "labels": {"team": "pets"}}
    template = {**MINIMAL, "metadata": metadata, "spec": {**MINIMAL["spec"], "completions": 99}}
    body = job_body(template, "out", "night-1", 3)
    assert body["spec"]["completions"] == 3
    assert body["metadata"] == {
        "name": "night-1-work",
        "labels": {
            "app.kubernetes.io/name": "fovea-score",
            "app.kubernetes.io/component": "scoring",
            "team": "pets",
            "app.kubernetes.io/instance": "night-1-work",
        },
    }
    assert body["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/instance"] == "night-1-work"


def test_pods_learn_the_run_by_variables_that_win_over_the_templates(body: dict[str, Any]) -> None:
    environment = {
        variable["name"]: variable["value"]
        for variable in body["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert environment == {
        "FOVEA_SCORE_OUTPUT": "s3://bucket/scores",
        "FOVEA_SCORE_RUN_ID": "night-1",
        "FOVEA_SCORE_COMPLETIONS": "3",
    }
    assert scores(job_body(body, "s3://bucket/scores", "night-2", 3)) == ("s3://bucket/scores", "night-2")


def test_the_template_is_left_as_it_was() -> None:
    before = yaml.safe_dump(MINIMAL)
    job_body(MINIMAL, "out", "night-1", 3)
    assert yaml.safe_dump(MINIMAL) == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("kind: [", "is not one YAML document"),
        ("a: 1\n---\nb: 2", "is not one YAML document"),
        ("", "should be a Job of batch/v1"),
        ("apiVersion: batch/v1\nkind: CronJob", "should be a Job of batch/v1"),
        ("apiVersion: batch/v1\nkind: Job", "has no spec.template.spec.containers"),
        (yaml.safe_dump(with_containers([])), "has no spec.template.spec.containers"),
        (yaml.safe_dump(with_containers([{}])), "has no spec.template.spec.containers with a name"),
    ],
)
def test_a_file_that_is_no_template_is_named(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(content)
    with pytest.raises(SettingsInvalid, match=r"^--job-template .*job\.yaml: it ") as caught:
        read_template(tmp_path / "job.yaml")
    assert says in str(caught.value)


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="nowhere: it cannot be read: No such file"):
        read_template(tmp_path / "nowhere")
