"""ImageNet weights from a site that is away for a while."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torchvision

from fovea.errors import Unavailable
from fovea.stores import patience
from fovea.stores.patience import wait_for_stores
from trainer.network.weights import _imagenet

WEIGHTS = b"weights"


class Site(BaseHTTPRequestHandler):
    """Answers so first, and then with the weights; 0 hangs up."""

    first: list[int]

    def do_GET(self) -> None:
        status = self.first.pop(0) if self.first else 200
        if status:
            self.send_response(status)
            self.send_header("Content-Length", str(len(WEIGHTS)))
            self.end_headers()
            self.wfile.write(WEIGHTS)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Site]]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.01)
    handler = type("SiteOfOne", (Site,), {"first": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        name = f"resnet18-{hashlib.sha256(WEIGHTS).hexdigest()[:8]}.pth"
        weights = SimpleNamespace(
            DEFAULT=SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}/{name}")
        )
        monkeypatch.setattr(torchvision.models, "get_model_weights", lambda _: weights)
        yield handler
        server.shutdown()
    wait_for_stores(None)


def test_a_site_that_is_away_is_waited_for(site: type[Site]) -> None:
    site.first += [0, 503, 429, 0]
    wait_for_stores(60)
    assert _imagenet("resnet18").read_bytes() == WEIGHTS
    assert site.first == []


def test_a_file_that_is_not_there_is_not_waited_for(site: type[Site]) -> None:
    site.first += [404] * 10
    wait_for_stores(60)
    with pytest.raises(Unavailable, match=r"cannot be downloaded .*404"):
        _imagenet("resnet18")
    assert len(site.first) == 9


def test_without_patience_a_site_is_asked_once(site: type[Site]) -> None:
    site.first += [503] * 10
    with pytest.raises(Unavailable, match=r"cannot be downloaded .*503"):
        _imagenet("resnet18")
    assert len(site.first) == 9
