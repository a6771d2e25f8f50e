"""The pods of the overlay local-cpu, run with the images: digits are trained, released, served and scored.

What a node does is done by runc: process 1, a read-only root, limits, volumes. A cluster is not there.
"""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset
import pytest

from fovea.errors import ExitCode
from tests.containers.image import Image
from tests.containers.pods import Node, local_cpu
from tests.containers.runtime import Container, Mount, Running, run, started
from tests.deploy.manifests import JOB_NAME, ROOT, Workload
from tests.deploy.settings import as_created

pytestmark = [pytest.mark.images, pytest.mark.timeout(900)]

FASTER = {"FOVEA_TRAIN_EPOCHS": "1", "FOVEA_TRAIN_NUM_STEPS": "20"}
PYTHON = ("python", "-m")
MODELS = ("--models", "/models/digits")
DEMO = ROOT / ".demo/models"
"""Where `make demo` leaves its model."""


def pods(name: str) -> Workload:
    return local_cpu().pods(name)


@pytest.fixture
def train_image(image_named: Callable[[str], Image]) -> Image:
    return image_named(pods("fovea-train").container["image"])


@pytest.fixture
def serve_image(image_named: Callable[[str], Image]) -> Image:
    return image_named(pods("fovea-serve").container["image"])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, image_named: Callable[[str], Image]) -> Node:
    """A node on whose claims a model lies that the training pod has released, after one epoch."""
    node = Node(tmp_path_factory.mktemp("node"))
    trainer = pods("fovea-train")
    image = image_named(trainer.container["image"])
    code, output = run(node.container(trainer, image, variables=FASTER), node.folder)
    assert code == ExitCode.DONE, output
    return node


def test_pods_run_as_restricted_as_a_node_has_them(serve_image: Image, tmp_path: Path) -> None:
    """That the others prove what they say."""
    script = "id -u; echo $$; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; touch /app/x"
    code, output = run(Container(serve_image, ["sh", "-c", script]), tmp_path)
    assert output.split() == [
        *("10001", "1", "CapEff:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"),
        *("touch:", "cannot", "touch", "'/app/x':", "Read-only", "file", "system"),
    ]
    assert code == 1


def test_training_pod_releases_a_model_of_digits(node: Node) -> None:
    bundle = json.loads((node.claim("fovea-models-local") / "digits/1/bundle.json").read_text())
    assert bundle["labels"] == list("0123456789")


def test_serving_pod_answers_until_it_is_stopped(node: Node, serve_image: Image, tmp_path: Path) -> None:
    with started(node.container(pods("fovea-serve"), serve_image), tmp_path) as server:
        server.wait_for(message="ready")
        assert health_check(server, serve_image) == 0
        assert classify(server, "/models/digits/1/golden/00.png") in "0123456789"
        server.send(signal.SIGTERM)
        assert server.exit_code() == ExitCode.DONE


def test_serving_pod_without_a_model_lives_and_is_not_ready(serve_image: Image, tmp_path: Path) -> None:
    empty = Node(tmp_path)
    with started(empty.container(pods("fovea-serve"), serve_image), tmp_path) as server:
        server.wait_for(message="waiting for a version to be published")
        assert health_check(server, serve_image) == 1


def test_pods_of_a_night_score_what_training_held_out(node: Node, serve_image: Image) -> None:
    """The driver's own steps before and after the Job, by its own pod; it needs a cluster to make the Job."""
    driver, workers = pods("fovea-score"), as_created(pods("fovea-score-work"))
    for pod, args in ((driver, ["plan"]), (workers, []), (driver, ["commit"])):
        variables = {"FOVEA_SCORE_RUN_ID": JOB_NAME, "JOB_COMPLETION_INDEX": "0"}
        code, output = run(node.container(pod, serve_image, *args, variables=variables), node.folder)
        assert code == ExitCode.DONE, output
    data = node.claim("fovea-data")
    rows = pyarrow.dataset.dataset(data / "scores/runs" / JOB_NAME / "data").count_rows()
    assert rows == len(list((data / "cache/digits/val").rglob("*.png"))) > 300


def test_driving_pod_says_that_it_is_in_no_cluster(node: Node, serve_image: Image) -> None:
    code, output = run(node.container(pods("fovea-score"), serve_image), node.folder)
    assert code == ExitCode.UNAVAILABLE
    assert "cluster" in output
    assert "Traceback" not in output


def test_training_pod_that_is_stopped_saves_and_says_so_by_143(train_image: Image, tmp_path: Path) -> None:
    node = Node(tmp_path)
    longer = FASTER | {"FOVEA_TRAIN_EPOCHS": "100"}
    with started(node.container(pods("fovea-train"), train_image, variables=longer), tmp_path) as trainer:
        trainer.wait_for(epoch=1)
        trainer.send(signal.SIGTERM)
        assert trainer.exit_code() == ExitCode.TERMINATED
    assert list(node.claim("fovea-train").rglob("checkpoint.pt"))


def test_scoring_that_is_stopped_says_so_by_143(node: Node, serve_image: Image, tmp_path: Path) -> None:
    variables = {"FOVEA_SCORE_RUN_ID": "stopped"}
    container = node.container(pods("fovea-score"), serve_image, "run", "--full", variables=variables)
    with started(container, tmp_path) as scorer:
        scorer.wait_for(message="planned")
        scorer.send(signal.SIGTERM)
        assert scorer.exit_code() == ExitCode.TERMINATED


@pytest.mark.skipif(not DEMO.exists(), reason="make demo makes its model")
def test_model_of_the_demo_is_served_and_scored(serve_image: Image, tmp_path: Path) -> None:
    mounts = {"/tmp": Mount(), "/var/cache/fovea": Mount(), "/models": Mount(DEMO, read_only=True)}
    with started(Container(serve_image, [*PYTHON, "server", *MODELS], mounts=mounts), tmp_path) as server:
        server.wait_for(message="ready")
        assert health_check(server, serve_image) == 0
        assert classify(server, "/models/digits/1/golden/00.png") in "0123456789"
        done = server.execute(
            *PYTHON, "scorer", "run", *MODELS, "/models/digits/1/golden", "--output", "/tmp/scores"
        )
        assert done.returncode == ExitCode.DONE, done.stderr
        server.send(signal.SIGTERM)
        assert server.exit_code() == ExitCode.DONE


def health_check(server: Running, image: Image) -> int:
    """As docker runs it; a kubelet asks port 8003 itself."""
    _, *words = image.config["Healthcheck"]["Test"]
    return server.execute(*words).returncode


def classify(server: Running, path: str) -> str:
    done = server.execute("python", "-m", "fovea.client", path, "--target", "localhost:8001", "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["predictions"][0]["label"])
