"""Every command of docs/kubernetes.md is taken by kubectl, and names what deploy/ holds."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest
import yaml

from server.config import PORT, ServeSettings
from tests.deploy.compositions import COMPONENTS, COMPOSITIONS, DEPLOY, OVERLAYS, ROOT
from tests.deploy.manifests import Rendering, Workload, pods_of, render
from tests.deploy.settings import settings_of

PAGE = (ROOT / "docs/kubernetes.md").read_text()
LINES = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
PARTS = [part.strip() for line in LINES for part in re.split(r"&&| \| ", line)]
KUBECTL = [part.partition(" > ")[0] for part in PARTS if part.startswith("kubectl ")]
CREATED = set(re.findall(r"create job (\S+)", PAGE))
"""Jobs that the page creates before it names them."""


def overlay(name: str) -> Rendering:
    (found,) = [composition for composition in COMPOSITIONS if composition.name == name]
    return render(found)


def test_every_command_is_of_a_kind_that_is_checked() -> None:
    assert {shlex.split(part)[0] for part in PARTS} == {"kubectl", "kind", "make", "python", "aws"}
    assert len(KUBECTL) >= 15


@pytest.mark.parametrize("command", [command for command in KUBECTL if "--local" not in command])
def test_kubectl_takes_the_command(command: str, tmp_path: Path) -> None:
    """It gets as far as asking for a server, and there is none; or for the objects that a pipe would give."""
    (tmp_path / "bucket.env").write_text("AWS_REGION=eu-west-1\n")
    (tmp_path / "deploy").symlink_to(DEPLOY)
    kubectl, *words = _kubectl(command)
    done = subprocess.run(
        [kubectl, "--server=http://127.0.0.1:1", *words],
        cwd=tmp_path,
        env=os.environ | {"KUBECONFIG": os.devnull},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    expected = "no objects passed" if command.endswith("-f -") else "127.0.0.1:1"
    assert expected in done.stderr


@pytest.mark.parametrize("command", [command for command in KUBECTL if " apply " in command])
def test_folders_that_are_applied_are_overlays(command: str) -> None:
    folder = shlex.split(command)[shlex.split(command).index("-k") + 1]
    assert (ROOT / folder).parent == DEPLOY / "overlays"
    assert (ROOT / folder).name in OVERLAYS


@pytest.mark.parametrize("name", OVERLAYS)
def test_objects_that_commands_name_are_deployed(name: str) -> None:
    found = re.findall(r"\b(deployment|service|cronjob|job)[/ ]([a-z][a-z0-9-]+)", "\n".join(KUBECTL))
    assert len(found) >= 10
    kinds = {"deployment": "Deployment", "service": "Service", "cronjob": "CronJob"}
    for kind, named in found:
        assert named in CREATED if kind == "job" else overlay(name).named(kinds[kind], named)


def test_namespace_is_where_everything_is() -> None:
    named = {found for command in KUBECTL for found in re.findall(r"-n (\S+)", command)}
    assert named == {overlay("gpu").of_kind("Namespace")[0]["metadata"]["name"]}
    assert all(
        " -n fovea " in command for command in KUBECTL if not re.search("apply|--local|create -f", command)
    )


def test_options_for_one_run_reach_the_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The middle of the pipeline, run on what its first part would give."""
    (command,) = [command for command in KUBECTL if "--local" in command]
    cron = overlay("gpu").named("CronJob", "fovea-train")
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "pets-2"}} | {
        "spec": cron["spec"]["jobTemplate"]["spec"]
    }
    done = subprocess.run(
        _kubectl(command), input=yaml.safe_dump(job), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    settings = settings_of(pods_of(yaml.safe_load(done.stdout), overlay("gpu")), monkeypatch)
    assert (settings.epochs, settings.arch) == (5, "resnet50")


def test_version_that_is_pinned_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    serving = overlay("gpu").pods("fovea-serve")
    assert settings_of(serving, monkeypatch).version is None
    name, value = re.search(r"(FOVEA_SERVE_MODEL_VERSION)=(\d+)\n", PAGE).groups()
    serving.container["env"] = [*serving.container["env"], {"name": name, "value": value}]
    try:
        assert settings_of(serving, monkeypatch).version == int(value)
    finally:
        serving.container["env"].pop()


def test_ports_and_files_of_the_laptop_are_those_of_its_overlay() -> None:
    local = overlay("local-cpu")
    environment = local.pods("fovea-serve").environment()
    (shown,) = re.findall(r"-- cat (\S+)", PAGE)
    assert PurePosixPath(shown).is_relative_to(environment["FOVEA_SERVE_MODELS"])
    (port,) = re.findall(r"port-forward service/fovea-serve (\d+)", PAGE)
    assert int(port) == PORT == ServeSettings.model_fields["port"].default
    assert f"--target localhost:{port}" in PAGE


def test_images_of_the_laptop_are_those_that_are_loaded(workload: Workload) -> None:
    if workload.rendering.composition.name == "local-cpu":
        (loaded,) = re.findall(r"kind load docker-image (.*)", PAGE)
        assert workload.container["image"] in loaded.split()


def test_files_to_look_at_are_where_the_programs_write_them() -> None:
    environment = overlay("gpu").pods("fovea-train").environment()
    models, output = environment["FOVEA_TRAIN_MODELS"], environment["FOVEA_SCORE_OUTPUT"]
    copied = re.findall(r"^aws s3 cp (\S+) \.$", PAGE, re.MULTILINE)
    assert copied == [f"{models}/1/report.html", f"{output}/runs/tonight/summary.html"]


def test_every_folder_of_deploy_is_explained() -> None:
    listed = set(re.findall(r"^\| `([a-z/-]+)` \|", PAGE, re.MULTILINE))
    parts = {f"overlays/{name}" for name in OVERLAYS} | {f"components/{name}" for name in COMPONENTS}
    assert listed == parts | {"base", "train"}


def _kubectl(command: str) -> list[str]:
    path = shutil.which("kubectl")
    if path is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing("kubectl is not installed")
    return [path, *shlex.split(command)[1:]]
