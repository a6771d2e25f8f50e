"""timm's weights from a site that is away, slow, or answers late."""

import hashlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub.utils.tqdm import are_progress_bars_disabled

from fovea.errors import Unavailable
from fovea.stores import patience
from fovea.stores.patience import wait_for_stores
from trainer.network.hugging_face import timm_weights
from trainer.network.model import build_network
from trainer.network.weights import load_weights

ARCH = "timm/mobilenetv3_small_100"
WEIGHTS = b"weights"
SAYS = r"mobilenetv3_small_100 are not in the cache.*model\.safetensors of https.*--weights FILE; or .* none"


class Site(BaseHTTPRequestHandler):
    """Hugging Face's; answers so first, and late. 0 hangs up."""

    first: list[int]
    late_s = 0.0

    def do_HEAD(self) -> None:
        status = self.first.pop(0) if self.first else 200
        time.sleep(self.late_s)
        if status:
            self._answer(status)

    def do_GET(self) -> None:
        self._answer(200)
        self.wfile.write(WEIGHTS)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(WEIGHTS)))
        self.send_header("ETag", f'"{hashlib.sha256(WEIGHTS).hexdigest()}"')
        self.send_header("X-Repo-Commit", 40 * "a")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.01)
    yield
    wait_for_stores(None)


def _lies_at(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    files = f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Site]]:
    handler = type("SiteOfOne", (Site,), {"first": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        _lies_at(server.server_port, monkeypatch)
        yield handler
        server.shutdown()


def test_weights_that_cannot_be_had_are_no_random_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match=SAYS):
        load_weights(build_network(ARCH, 2, 64), ARCH, "imagenet", None, tmp_path)
    assert are_progress_bars_disabled()
    assert not logging.getLogger("huggingface_hub").handlers, "it writes beside the log"


def test_failure_that_says_nothing_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", gone)
    with pytest.raises(Unavailable, match=r"cannot be downloaded \(TimeoutError\): give the file"):
        timm_weights(ARCH)


def test_site_that_is_away_is_said_to_be_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens, and where nobody answers, as behind a firewall."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        _lies_at(port, monkeypatch)
        started = time.monotonic()
        with pytest.raises(Unavailable, match=r"no answer within the 0\.2 s of HF_HUB_ETAG_TIMEOUT"):
            timm_weights(ARCH)
    with pytest.raises(Unavailable, match=SAYS):
        timm_weights(ARCH)
    assert time.monotonic() - started < 5


def test_site_that_is_slow_is_waited_for_and_its_file_kept(
    site: type[Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.late_s = 0.5
    path = timm_weights(ARCH)
    assert (path.read_bytes(), path.is_relative_to(tmp_path)) == (WEIGHTS, True)
    site.late_s, site.first[:] = 0, [503] * 3
    assert timm_weights(ARCH) == path, "the cache has it"
    assert len(site.first) == 2
    _lies_at(1, monkeypatch)
    assert timm_weights(ARCH) == path


def test_site_that_is_away_for_a_while_is_waited_for_where_stores_are(site: type[Site]) -> None:
    site.first[:] = [0, 503, 429]
    with pytest.raises(Unavailable, match=SAYS):
        timm_weights(ARCH)
    wait_for_stores(60)
    assert timm_weights(ARCH).read_bytes() == WEIGHTS
    assert site.first == []


def test_file_that_is_not_there_is_not_waited_for(site: type[Site]) -> None:
    site.first[:] = [404] * 9
    wait_for_stores(60)
    with pytest.raises(Unavailable, match=r"cannot be downloaded .*404"):
        timm_weights(ARCH)
    assert len(site.first) == 8
