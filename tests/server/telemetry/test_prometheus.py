"""A real Prometheus, Debian's, scrapes a real server."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import tiny
from tests.servers import ServerProcess, running_server

PATIENCE_S = 30


@pytest.fixture(scope="module")
def server(tiny_models: Path) -> Iterator[ServerProcess]:
    """One that has answered three calls and refused one."""
    with running_server(tiny_models) as running, grpc.insecure_channel(running.target) as channel:
        stub = ClassifierStub(channel)
        for colour in ("red", "red", "blue"):
            stub.Classify(pb.ClassifyRequest(image=tiny.picture(colour)), timeout=PATIENCE_S)
        with pytest.raises(grpc.RpcError):
            stub.Classify(pb.ClassifyRequest(image=b"broken"), timeout=PATIENCE_S)
        yield running


def test_promtool_has_no_complaint(server: ServerProcess) -> None:
    with urllib.request.urlopen(server.metrics_url, timeout=PATIENCE_S) as page:
        text = page.read()
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.slow  # Prometheus takes five seconds to its first scrape, whatever it is told
def test_prometheus_scrapes_what_was_served(server: ServerProcess, tmp_path: Path) -> None:
    with running_prometheus(server.metrics_url, tmp_path) as api:
        assert wait_for_value(api, "up") == 1
        assert wait_for_value(api, 'fovea_predictions_total{label="red"}') == 2
        assert wait_for_value(api, 'fovea_requests_total{method="Classify",code="OK"}') == 3
        assert wait_for_value(api, 'fovea_refused_total{reason="not_an_image"}') == 1
        assert wait_for_value(api, "fovea_decode_seconds_count") == 3
        assert wait_for_value(api, 'count(fovea_model_info{name="tiny",version="1",precision="fp32"})') == 1


@contextmanager
def running_prometheus(scraped: str, folder: Path) -> Iterator[str]:
    """Yields the URL of its API."""
    target = urllib.parse.urlsplit(scraped).netloc
    job = {"job_name": "fovea", "scrape_interval": "200ms", "scrape_timeout": "200ms"}
    config = {"scrape_configs": [{**job, "static_configs": [{"targets": [target]}]}]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = free_address()
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)
    try:
        yield f"http://{address}/api/v1"
    finally:
        process.kill()
        process.wait(PATIENCE_S)


def wait_for_value(api: str, query: str) -> float:
    """The query's only value, as soon as there is one that is not 0."""
    until = time.monotonic() + PATIENCE_S
    samples: list[Any] = []
    while not (samples and float(samples[0]["value"][1])) and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{api}/query?{urllib.parse.urlencode({'query': query})}") as answer:
                samples = json.load(answer)["data"]["result"]
        except OSError:  # it does not listen yet
            pass
        time.sleep(0.05)
    assert len(samples) == 1, f"{query}: {samples}"
    return float(samples[0]["value"][1])


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


def program(name: str) -> str:
    """Skips where it is missing, but not when CI=true."""
    path = shutil.which(name)
    if path is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"{name} is not installed (apt-get install prometheus)")
    return path
