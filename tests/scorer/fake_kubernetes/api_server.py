"""The server that requests come to."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

from tests.scorer.fake_kubernetes.cluster import FakeKubernetes
from tests.scorer.fake_kubernetes.handler import Handler


@contextmanager
def running(fake: FakeKubernetes, tls: ssl.SSLContext | None = None) -> Iterator[FakeKubernetes]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HandlerOfOne", (Handler,), {"fake": fake}))
    if tls:
        # The handshake is done where the request is read, not where connections are accepted.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    fake.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield fake
    finally:
        fake.close()
        server.shutdown()
        server.server_close()
