"""Every command of the README is run here, or, where this machine cannot, taken apart and checked."""

import hashlib
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import boto3
import pytest
import torchvision

from tests.buckets import bucket_environment
from tests.docs.pages import README
from tests.photos import make_photos
from tests.stub_classifier import stub_server

ROOT = Path(__file__).parents[1]
COMMANDS = README.commands


def commands_of(program: str) -> list[str]:
    return [command for command in COMMANDS if shlex.split(command)[0] == program]


def test_every_command_is_of_a_kind_that_is_checked() -> None:
    """Those of curl by tests/docs, which has every page's."""
    checked = [*map(commands_of, ("python", "make", "kubectl", "curl"))]
    assert sorted(chain.from_iterable(checked)) == sorted(COMMANDS)
    assert len(commands_of("python")) >= 7


@pytest.mark.parametrize("command", commands_of("make"))
def test_make_targets_exist(command: str) -> None:
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("command", commands_of("kubectl"))
def test_kubectl_commands_name_what_deploy_holds(command: str) -> None:
    words = [word for word in shlex.split(command) if word not in {"-n", "fovea"}]
    if words[1] == "apply":
        assert words[2] == "-k"
        assert (ROOT / words[3] / "kustomization.yaml").is_file()
    else:
        assert words[1:3] == ["create", "job"]
        assert words[4] == "--from=cronjob/fovea-train"
        assert "name: fovea-train" in (ROOT / "deploy" / "train" / "cronjob.yaml").read_text()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with `photos` and `new-photos`, and `my-bucket/photos` in the test's own S3."""
    labels = {"flower": "cat", "temple": "dog"}
    for seed, folder in enumerate(("photos", "new-photos")):
        make_photos(tmp_path / "made" / folder, 10, seed)
        (tmp_path / folder).mkdir()
        for drawn, label in labels.items():
            (tmp_path / "made" / folder / drawn).rename(tmp_path / folder / label)
    return tmp_path


def imagenet_weights(home: Path) -> None:
    """Puts a file of random weights where torchvision keeps the downloaded ones."""
    import torch

    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    name = torchvision.models.ResNet34_Weights.DEFAULT.url.rsplit("/", 1)[-1]
    torch.save(torchvision.models.resnet34().state_dict(), folder / name)


@pytest.fixture
def environment(workspace: Path) -> Iterator[dict[str, str]]:
    """Small settings for the commands, a bucket, and free ports."""
    imagenet_weights(workspace / "torch")
    with bucket_environment("my-bucket") as bucket, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        yield os.environ | bucket | {
            "TORCH_HOME": str(workspace / "torch"),
            "XDG_CACHE_HOME": str(workspace / "cache"),
            "FOVEA_TRAIN_SIZE": "64",
            "FOVEA_TRAIN_NUM_STEPS": "20",
            "FOVEA_TRAIN_BATCH_SIZE": "8",
            "FOVEA_TRAIN_PUBLISH_ANYWAY": "true",
            "FOVEA_SERVE_HOST": "127.0.0.1",
            "FOVEA_SERVE_PORT": str(port),
            "FOVEA_SERVE_METRICS_PORT": "0",
            "FOVEA_SERVE_HEALTH_PORT": "0",
            "FOVEA_SCORE_CAPTURE_SHARE": "1",
        }  # fmt: skip


def started(command: str, workspace: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    words = shlex.split(command.replace("8001", environment["FOVEA_SERVE_PORT"]))
    return subprocess.Popen(
        [sys.executable, *words[1:]],
        cwd=workspace,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_ready(server: subprocess.Popen[str]) -> None:
    assert server.stderr is not None
    log = []
    for line in server.stderr:
        log.append(line)
        if '"ready"' in line:
            return
    raise AssertionError("".join(log))


def answer_the_page(workspace: Path) -> None:
    """Saves what a person downloads from it who says of an image that it is a cat."""
    image = next((workspace / "new-photos" / "cat").iterdir()).read_bytes()
    row = f"sha256/{hashlib.sha256(image).hexdigest()},cat"
    (workspace / "corrections" / "corrections.csv").write_text(f"path,label\n{row}\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_commands_work_one_after_the_other(workspace: Path, environment: dict[str, str]) -> None:
    servers = []
    try:
        for command in commands_of("python"):
            if "s3://" in command:
                upload(workspace, environment)
            process = started(command, workspace, environment)
            if command.startswith("python -m server"):
                servers.append(process)
                wait_until_ready(process)
            else:
                _, stderr = process.communicate()
                assert process.returncode == 0, f"{command}\n{stderr}"
            if command.startswith("python -m trainer label"):
                answer_the_page(workspace)
    finally:
        for server in servers:
            server.terminate()
            server.communicate()
    assert [server.returncode for server in servers] == [0]
    assert (workspace / "models" / "pets" / "1" / "bundle.json").is_file()
    assert len(list((workspace / "runs" / "lr-find").glob("*/lr_find.png"))) == 1


def test_the_python_that_calls_a_server_does_so(tmp_path: Path) -> None:
    (program,) = README.fences("python")
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos" / "cat" / "001.jpg").write_bytes(b"image")
    (tmp_path / "photos" / "cat" / "002.jpg").mkdir()
    with stub_server() as stub:
        ended = subprocess.run(
            [sys.executable, "-c", program.replace("localhost:8001", stub.address)],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert ended.stdout.splitlines() == [
        "stub 1.0",
        "photos/cat/001.jpg stub",
        "failed: photos/cat/002.jpg: cannot be read: Is a directory",
    ]


def upload(workspace: Path, environment: dict[str, str]) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    for folder in ("photos", "models"):
        for path in (workspace / folder).rglob("*"):
            if path.is_file():
                client.upload_file(str(path), "my-bucket", str(path.relative_to(workspace)))
