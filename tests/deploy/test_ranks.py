"""Trainings of several pods: their ranks find each other, and end together."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pytest
import yaml

from fovea.errors import ExitCode
from tests.deploy import kubeflow
from tests.deploy.compositions import COMPOSITIONS, DEPLOY, Composition
from tests.deploy.manifests import JOB_NAME, Workload, build, lone_job, pods_of, render
from tests.deploy.settings import settings_of
from tests.markdown import Page
from tests.programs import Program
from tests.servers import clean_environment
from tests.trainer.ranks.starting import ends, free_port
from trainer.images.digits import write_digits
from trainer.ranks.joining import DEFAULT_PORT, Invitation, invitation

README = Page.read(DEPLOY / "components/multi-node-train/README.md")
(RANKS,) = [each for each in COMPOSITIONS if each.name == "plain+multi-node-train"]
(TRAINJOBS,) = [each for each in COMPOSITIONS if each.name == "plain+kubeflow"]


def has_ranks(training: Workload) -> bool:
    if training.manifest["kind"] == "TrainingRuntime":
        return True
    return training.manifest["kind"] == "CronJob" and "multi-node-train" in training.components


def invitations(training: Workload) -> list[Invitation]:
    """What the trainer of each pod makes of its variables."""
    found = [invitation(training.environment(index)) for index in range(training.job["completions"])]
    assert None not in found
    return [one for one in found if one is not None]


def test_a_training_is_one_pod_unless_a_component_says_otherwise(training: Workload) -> None:
    if not has_ranks(training):
        assert not {"completionMode", "completions", "parallelism"} & set(training.job)
        assert invitation(training.environment()) is None


def test_each_pod_is_a_rank_and_all_are_there_at_once(training: Workload) -> None:
    if has_ranks(training):
        ranks = invitations(training)
        count = training.job["parallelism"]
        assert training.job["completionMode"] == "Indexed"
        assert [(one.share.rank, one.share.world) for one in ranks] == [(i, count) for i in range(count)]
        assert [one.node for one in ranks] == list(range(count)), "each has a cache of its own"
        assert count > 1


def test_ranks_meet_at_the_first_pod_by_the_name_that_its_service_gives_it(training: Workload) -> None:
    """The Job controller names the pod of an index JOB-INDEX, and the Job's name is not known before."""
    if has_ranks(training) and training.manifest["kind"] == "CronJob":
        service = training.rendering.named("Service", training.pod["subdomain"])
        addresses = {one.address for one in invitations(training)}
        assert addresses == {f"{JOB_NAME}-0.{service['metadata']['name']}"}
        assert service["spec"]["clusterIP"] == "None"
        # Else a pod would have no name before it is ready, and a rank is while it waits for the others.
        assert service["spec"]["publishNotReadyAddresses"] is True
        assert service["spec"]["selector"].items() <= training.labels.items()
        (port,) = service["spec"]["ports"]
        (own,) = training.container["ports"]
        ports = {one.port for one in invitations(training)}
        assert ports == {port["port"], own["containerPort"], DEFAULT_PORT}


def test_ranks_of_a_train_job_meet_where_kubeflow_says(training: Workload) -> None:
    if training.manifest["kind"] == "TrainingRuntime":
        addresses = {(one.address, one.port) for one in invitations(training)}
        assert addresses == {(f"{JOB_NAME}-node-0-0.{JOB_NAME}", kubeflow.PORT)}


def test_a_variable_is_made_of_those_before_it(training: Workload) -> None:
    """The kubelet leaves $(NAME) as it is where NAME comes later."""
    assert not [value for value in training.environment().values() if "$(" in value]


def test_each_rank_has_a_cache_of_its_own_on_a_claim_that_all_can_mount(training: Workload) -> None:
    if has_ranks(training):
        environments = [training.environment(index) for index in range(training.job["completions"])]
        caches = {each["XDG_CACHE_HOME"] for each in environments}
        assert len(caches) == len(environments)
        assert not any("FOVEA_TRAIN_CACHE_DIR" in each for each in environments), "it would be shared"
        assert all(Path(cache).is_relative_to("/var/lib/fovea") for cache in caches)
        claim = training.mounts["/var/lib/fovea"]["persistentVolumeClaim"]["claimName"]
        spec = training.rendering.named("PersistentVolumeClaim", claim)["spec"]
        assert spec["accessModes"] == ["ReadWriteMany"]


def test_each_rank_has_its_tries_and_no_rank_goes_on_alone(training: Workload) -> None:
    if has_ranks(training):
        assert "backoffLimit" not in training.job, "it counts the pods of all ranks, which end together"
        assert training.job["backoffLimitPerIndex"] == lone_job()["spec"]["backoffLimit"]
        assert training.job["maxFailedIndexes"] == 0
        assert training.job["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}


def test_ranks_that_a_drained_node_ends_with_its_own_cost_no_try(training: Workload) -> None:
    if has_ranks(training):
        *_, followed = training.job["podFailurePolicy"]["rules"]
        assert followed["action"] == "Ignore"
        assert followed["onExitCodes"] == {
            "containerName": training.container["name"],
            "operator": "In",
            "values": [ExitCode.TERMINATED],
        }


def test_ranks_wait_as_long_as_the_readme_says_and_that_is_less_than_a_training(
    training: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_ranks(training):
        (minutes,) = re.findall(r"waits for the others for (\d+) minutes", README.text)
        patience_s = settings_of(training, monkeypatch).ranks_patience_s
        assert patience_s == 60 * int(minutes) < training.job["activeDeadlineSeconds"] / 10


def _with_the_patch(training: Workload, tmp_path: Path) -> Workload:
    """The readme's, as an overlay would have it."""
    folder = shutil.copytree(DEPLOY, tmp_path / "deploy") / "overlays/more"
    folder.mkdir()
    (text,) = README.fences("yaml")
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(RANKS.kustomization() | yaml.safe_load(text)))
    named = {(one["kind"], one["metadata"]["name"]): one for one in build(folder)}
    return pods_of(named["CronJob", "fovea-train"], training.rendering)


def _for_one_run(training: Workload, _: Path) -> Workload:
    """The middle of the readme's pipeline, run on what its first part would give."""
    (line,) = README.commands
    _first, *middle, _last = line.split(" | ")
    spec = training.manifest["spec"]["jobTemplate"]["spec"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "pets-2"}, "spec": spec}
    text = yaml.safe_dump(job)
    for command in middle:
        words = shlex.split(command)
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        text = done.stdout
    return pods_of(yaml.safe_load(text), training.rendering)


@pytest.mark.parametrize("change", [_with_the_patch, _for_one_run])
def test_another_number_of_ranks_is_what_the_readme_says(
    change: Callable[[Workload, Path], Workload], tmp_path: Path
) -> None:
    changed = change(render(RANKS).pods("fovea-train"), tmp_path)
    assert changed.job["completions"] == changed.job["parallelism"] == 4
    assert [one.share.rank for one in invitations(changed)] == [0, 1, 2, 3]
    assert {one.share.world for one in invitations(changed)} == {4}
    assert {one.address for one in invitations(changed)} == {f"{JOB_NAME}-0.fovea-train"}


QUICKER = {
    "ARCH": "shufflenet_v2_x0_5",
    "WEIGHTS": "none",
    "SIZE": "32",
    "RESIZE": "32",
    "BATCH_SIZE": "8",
    "EPOCHS": "4",
    "NUM_STEPS": "20",
    "THREADS": "1",
    "DEVICE": "cpu",
    "PUBLISH_ANYWAY": "true",
}


@pytest.mark.slow
@pytest.mark.parametrize("composition", [RANKS, TRAINJOBS], ids=["multi-node-train", "kubeflow"])
def test_ranks_with_the_variables_of_the_manifest_train_and_release_once(
    composition: Composition, tmp_path: Path
) -> None:
    """As processes of this machine, where the name of the first pod is 127.0.0.1, and volumes are folders."""
    pods = render(composition).pods("fovea-train" if composition == RANKS else "trainjob.yaml")
    port, photographs = str(free_port()), _few_digits(tmp_path / "digits")
    work = tmp_path / "var/lib/fovea"
    work.mkdir(parents=True)
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    here |= {f"PET_{name}": value for name, value in here.items()}
    here |= {f"FOVEA_TRAIN_{name}": value for name, value in QUICKER.items()}
    here |= {"FOVEA_TRAIN_DATA": str(photographs), "FOVEA_TRAIN_MODELS": str(tmp_path / "models")}
    ranks = []
    for index in range(pods.job["completions"]):
        variables = pods.environment(index)
        own = {name: value for name, value in here.items() if name in variables or "FOVEA" in name}
        own["XDG_CACHE_HOME"] = f"{tmp_path}{variables['XDG_CACHE_HOME']}"
        environment = clean_environment() | variables | own
        ranks.append(
            Program("trainer", *pods.container["args"], cwd=work, env=environment, stdout=PIPE, stderr=PIPE)
        )
    outcomes = ends(ranks, within_s=240)
    assert [code for code, _ in outcomes] == [0] * len(ranks), outcomes
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["1"]
    assert [path.name for path in (work / "runs").iterdir()] == [JOB_NAME]
    assert sorted(path.name for path in (work / "cache").iterdir()) == ["rank-0", "rank-1"]


def _few_digits(folder: Path) -> Path:
    """Two classes, 24 images of each to train on, 10 held out."""
    whole = folder / "whole"
    write_digits(whole)
    for part, count in (("train", 24), ("val", 10)):
        for label in ("0", "1"):
            some = folder / "few" / part / label
            some.mkdir(parents=True)
            for file in sorted((whole / part / label).iterdir())[:count]:
                shutil.copy(file, some)
    return folder / "few"
