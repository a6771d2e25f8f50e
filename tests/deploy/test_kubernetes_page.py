"""Every command of docs/kubernetes.md is taken by kubectl, and names what deploy/ holds."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from scorer.cluster.job import job_name
from server.config import PORT, ServeSettings
from tests.deploy.compositions import COMPONENTS, COMPOSITIONS, DEPLOY, OVERLAYS, ROOT, read
from tests.deploy.manifests import (
    JOB_NAME,
    UNCOLLECTED,
    Manifest,
    Rendering,
    Workload,
    build,
    pods_of,
    render,
)
from tests.deploy.settings import settings_of
from tests.markdown import Page

PAGE = Page.read(ROOT / "docs/kubernetes.md")
LINES = PAGE.commands
TEXT = "\n".join(LINES)
PARTS = [part.strip() for line in LINES for part in re.split(r"&&| \| ", line)]
KUBECTL = [part.partition(" > ")[0] for part in PARTS if part.startswith("kubectl ")]
CREATED = set(re.findall(r"create job (\S+)", TEXT))
"""Jobs that the page creates before it names them."""

OPTIONS = re.findall(r"create job (\S+) --from=cronjob/(\S+) .* \| (kubectl set env --local .*) \|", TEXT)
"""The Jobs whose options are changed: a Job, its CronJob, and the command that changes them."""


def overlay(name: str) -> Rendering:
    (single,) = [composition for composition in COMPOSITIONS if composition.name == name]
    return render(single)


def test_every_command_is_of_a_kind_that_is_checked() -> None:
    assert {shlex.split(part)[0] for part in PARTS} == {"kubectl", "kind", "make", "python", "aws"}
    assert len(KUBECTL) >= 15


@pytest.mark.parametrize("command", [command for command in KUBECTL if "--local" not in command])
def test_kubectl_takes_the_command(command: str, tmp_path: Path) -> None:
    """It gets as far as asking for a server, and there is none; or for the objects that a pipe would give."""
    (tmp_path / "bucket.env").write_text("AWS_REGION=eu-west-1\n")
    (tmp_path / "tokens").write_text("")
    (tmp_path / "deploy").symlink_to(DEPLOY)
    kubectl, *words = _kubectl(command)
    done = subprocess.run(
        [kubectl, "--server=http://127.0.0.1:1", *words],
        cwd=tmp_path,
        env=os.environ | UNCOLLECTED | {"KUBECONFIG": os.devnull},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    expected = "no objects passed" if command.endswith("-f -") else "127.0.0.1:1"
    assert expected in done.stderr


@pytest.mark.parametrize("command", [command for command in KUBECTL if " apply -k " in command])
def test_folders_that_are_applied_are_overlays_or_what_stands_beside_the_base(command: str) -> None:
    folder = shlex.split(command)[shlex.split(command).index("-k") + 1]
    assert folder in {"deploy/kserve", *(f"deploy/overlays/{name}" for name in OVERLAYS)}


def test_secret_comes_before_the_pods_that_look_for_it() -> None:
    page = [TEXT.index(command) for command in ("apply -f deploy/base/namespace.yaml", "create secret")]
    assert page[0] < page[1] < TEXT.index("apply -k deploy/overlays/gpu", page[0])
    (namespace,) = yaml.safe_load_all((DEPLOY / "base/namespace.yaml").read_text())
    assert namespace["kind"] == "Namespace"


@pytest.mark.parametrize("name", OVERLAYS)
def test_objects_that_commands_name_are_deployed(name: str) -> None:
    objects = re.findall(r"\b(deployment|service|cronjob|job)[/ ]([a-z][a-z0-9-]+)", "\n".join(KUBECTL))
    assert len(objects) >= 10
    kinds = {"deployment": "Deployment", "service": "Service", "cronjob": "CronJob"}
    for kind, named in objects:
        of_run = CREATED | {job_name(run) for run in CREATED}
        assert named in of_run if kind == "job" else overlay(name).named(kinds[kind], named)


def test_namespace_is_where_everything_is() -> None:
    named = {namespace for command in KUBECTL for namespace in re.findall(r"-n (\S+)", command)}
    assert named == {overlay("gpu").of_kind("Namespace")[0]["metadata"]["name"]}
    assert all(
        " -n fovea " in command
        for command in KUBECTL
        if not re.search("apply|--local|create -f|delete -k", command)
    )


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ("pets-2", {"run_id": JOB_NAME, "epochs": 5, "arch": "resnet50"}),
        ("pets-1b", {"run_id": "pets-1"}),
        ("tonight-again", {"run_id": "tonight", "requeue": None}),
        ("tonight-b", {"run_id": JOB_NAME, "requeue": "tonight"}),
    ],
)
def test_options_for_one_run_reach_its_program(
    job: str, expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(pods_of(_created(job), overlay("gpu")), monkeypatch)
    assert {name: getattr(settings, name) for name in expected} == expected


def test_every_option_for_one_run_is_tried() -> None:
    assert [job for job, _, _ in OPTIONS] == ["pets-2", "pets-1b", "tonight-again", "tonight-b"]


def test_job_that_is_out_of_the_way_is_that_of_the_run_that_goes_on() -> None:
    assert f"kubectl -n fovea delete job {job_name('tonight')}" in LINES


def _created(job: str) -> Manifest:
    """The middle of the pipeline, run on what its first part would give."""
    ((cron_job, command),) = [(cron_job, command) for name, cron_job, command in OPTIONS if name == job]
    spec = overlay("gpu").named("CronJob", cron_job)["spec"]["jobTemplate"]["spec"]
    first = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job}, "spec": spec}
    done = subprocess.run(
        _kubectl(command), input=yaml.safe_dump(first), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    manifest: Manifest = yaml.safe_load(done.stdout)
    return manifest


@pytest.mark.parametrize(
    ("workload", "setting", "expected"),
    [
        ("fovea-serve", "FOVEA_SERVE_MODEL_VERSION=3", {"version": 3}),
        ("fovea-score", "FOVEA_SCORE_MODEL_VERSION=3", {"version": 3}),
        (
            "fovea-score",
            "FOVEA_SCORE_VERIFY=dns:///fovea-serve-headless.fovea:8001",
            {"verify": f"dns:///fovea-serve-headless.fovea:{PORT}"},
        ),
    ],
)
def test_settings_that_the_page_names_are_the_programs(
    workload: str, setting: str, expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(setting in code for code in [*PAGE.code, *LINES])
    name, _, value = setting.partition("=")
    pods = overlay("gpu").pods(workload)
    container = {**pods.container, "env": [*pods.container["env"], {"name": name, "value": value}]}
    changed = replace(pods, template={"spec": {**pods.pod, "containers": [container]}})
    settings = settings_of(changed, monkeypatch)
    assert {name: getattr(settings, name) for name in expected} == expected


def test_network_policy_of_the_page_is_one(tmp_path: Path) -> None:
    """Beside the overlay, as the page has it."""
    (text,) = (fence for fence in PAGE.fences("yaml") if "NetworkPolicy" in fence)
    folder = shutil.copytree(DEPLOY, tmp_path / "deploy") / "overlays/gpu"
    (folder / "network.yaml").write_text(text)
    kustomization = read(folder)
    kustomization["resources"].append("network.yaml")
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (policy,) = [one for one in build(folder) if one["metadata"]["name"] == "allow-minio"]
    kubernetes_validate.validate(policy, kubernetes_validate.latest_version(), strict=True)
    assert policy["metadata"]["namespace"] == "fovea"


def test_tokens_of_the_page_are_where_the_server_is_told(tmp_path: Path) -> None:
    (text,) = (fence for fence in PAGE.fences("yaml") if "fovea-tokens" in fence)
    folder = shutil.copytree(DEPLOY, tmp_path / "deploy") / "overlays/gpu"
    kustomization = read(folder)
    kustomization.setdefault("patches", []).extend(yaml.safe_load(text)["patches"])
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (serving,) = [
        one for one in build(folder) if one["metadata"]["name"] == "fovea-serve" and "template" in one["spec"]
    ]
    kubernetes_validate.validate(serving, kubernetes_validate.latest_version(), strict=True)
    pod = serving["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    secrets = {
        volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume
    }
    assert secrets["tokens"] == "fovea-tokens"
    assert f"FOVEA_SERVE_TOKEN_FILE={mounts['tokens']}/tokens" in PAGE.code


def test_ports_and_files_of_the_laptop_are_those_of_its_overlay() -> None:
    local = overlay("local-cpu")
    environment = local.pods("fovea-serve").environment()
    files = re.findall(r"-- cat (/models/\S+)", TEXT)
    assert files == [
        f"{environment['FOVEA_SERVE_MODELS']}/1/{name}" for name in ("golden/00.png", "report.html")
    ]
    (port,) = re.findall(r"port-forward service/fovea-serve (\d+)", TEXT)
    assert int(port) == PORT == ServeSettings.model_fields["port"].default
    assert f"--target localhost:{port}" in TEXT


def test_images_of_the_laptop_are_those_that_are_loaded(workload: Workload) -> None:
    if workload.rendering.composition.name == "local-cpu":
        (loaded,) = re.findall(r"kind load docker-image (.*)", TEXT)
        assert workload.container["image"] in loaded.split()


def test_files_to_look_at_are_where_the_programs_write_them() -> None:
    environment = overlay("gpu").pods("fovea-train").environment()
    models, output = environment["FOVEA_TRAIN_MODELS"], environment["FOVEA_SCORE_OUTPUT"]
    copied = re.findall(r"^aws s3 cp (\S+) \.$", TEXT, re.MULTILINE)
    assert copied == [f"{models}/1/report.html", f"{output}/runs/tonight/summary.html"]


def test_every_folder_of_deploy_is_explained() -> None:
    listed = {code for row in PAGE.table("folder of deploy/") for code in row["folder of deploy/"].code}
    parts = {f"overlays/{name}" for name in OVERLAYS} | {f"components/{name}" for name in COMPONENTS}
    assert listed == parts | {"base", "train", "triton", "kserve"}


def _kubectl(command: str) -> list[str]:
    path = shutil.which("kubectl")
    if path is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("kubectl is not installed")
    return [path, *shlex.split(command)[1:]]
