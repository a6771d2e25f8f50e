"""components/kubeflow is what its operator takes, and starts what the CronJob starts."""

import copy
import json
from pathlib import Path

import jsonschema

from tests.deploy import kubeflow
from tests.deploy.compositions import COMPOSITIONS
from tests.deploy.kubernetes_schemas import VERSIONS, validate
from tests.deploy.manifests import JOB_NAME, Manifest, Workload, lone_train_job, render
from tests.scorer.fake_kubernetes.admission import spec_problems

SCHEMA = json.loads((Path(__file__).parent / "schemas/TrainJob.json").read_text())
(BOTH,) = [each for each in COMPOSITIONS if each.name == "plain+kubeflow+multi-node-train"]


def test_train_job_follows_the_schema_of_its_operator_and_names_the_runtime() -> None:
    train_job, runtime = lone_train_job(), render(BOTH).named("TrainingRuntime", "fovea-train")
    jsonschema.validate(train_job, SCHEMA)
    group, _, _version = runtime["apiVersion"].partition("/")
    assert train_job["spec"]["runtimeRef"] == {
        "apiGroup": group,
        "kind": runtime["kind"],
        "name": runtime["metadata"]["name"],
    }
    assert train_job["metadata"]["namespace"] == runtime["metadata"]["namespace"]
    assert train_job["spec"]["trainer"]["numNodes"] == runtime["spec"]["mlPolicy"]["numNodes"]


def test_a_field_that_the_operator_does_not_know_would_be_found() -> None:
    """As numProcPerNode of a runtime, which releases before 2.3 had."""
    runtime = copy.deepcopy(render(BOTH).named("TrainingRuntime", "fovea-train"))
    runtime["spec"]["mlPolicy"]["torch"]["numProcPerNode"] = 1
    schema = json.loads((Path(__file__).parent / "schemas/TrainingRuntime.json").read_text())
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(runtime))
    assert ["numProcPerNode" in error.message for error in errors] == [True]


def test_job_of_a_train_job_is_one_that_kubernetes_takes(training: Workload) -> None:
    if training.manifest["kind"] == "TrainingRuntime":
        name = {"name": f"{JOB_NAME}-node-0", "namespace": "fovea"}
        text = json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": name, "spec": training.job})
        for version in VERSIONS:
            validate(text, version)
        assert list(spec_problems(training.job)) == []


def test_a_train_job_is_the_training_of_several_pods_as_kubeflow_names_it() -> None:
    runtime = kubeflow.job_of(
        render(BOTH).named("TrainingRuntime", "fovea-train"), lone_train_job(), JOB_NAME
    )
    cron_job = copy.deepcopy(render(BOTH).pods("fovea-train").job)
    assert _without_names(runtime) == _without_names(cron_job)


def _without_names(job: Manifest) -> Manifest:
    """Without what each says in its own way: where ranks meet, which run it is and whose claim it is, and
    what is JobSet's to say: the subdomain, and when to clear away."""
    job.pop("ttlSecondsAfterFinished", None)
    for rule in job["podFailurePolicy"]["rules"]:
        rule.get("onExitCodes", {}).pop("containerName", None)
    pod = job["template"]["spec"]
    pod.pop("subdomain", None)
    (container,) = pod["containers"]
    assert container.pop("name") in {"trainer", "node"}
    container.pop("ports", None)
    variables = {one["name"]: one for one in container.pop("env")}
    container["env"] = variables["FOVEA_TRAIN_RANKS_PATIENCE_S"]
    container["volumeMounts"].sort(key=lambda mount: str(mount["name"]))
    pod["volumes"].sort(key=lambda volume: str(volume["name"]))
    for volume in pod["volumes"]:
        volume.pop("persistentVolumeClaim", None)
    return job
