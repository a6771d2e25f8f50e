"""Connections end and begin anew, so that callers find new servers; calls and streams do not notice."""

import queue
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from fovea.client import Client
from fovea.v1 import classify_pb2, classify_pb2_grpc
from tests import tiny
from tests.dns_server import DnsServer, dns_server
from tests.server.http.calls import answer_of, connection_to
from tests.servers import PATIENCE_S, running_server

IMAGE = tiny.picture("blue")
QUERIES = 2
"""Of one look at DNS: for IPv4 and for IPv6."""


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with dns_server("127.0.0.1") as server:
        yield server


def test_a_connection_that_ends_costs_neither_calls_nor_streams(tiny_models: Path, dns: DnsServer) -> None:
    with running_server(tiny_models, "--max-connection-age-s", "1") as server:
        target = dns.target(server.ready["port"])
        requests: queue.SimpleQueue[classify_pb2.ClassifyRequest | None] = queue.SimpleQueue()
        with Client(target) as client, grpc.insecure_channel(target) as channel:
            answers = classify_pb2_grpc.ClassifierStub(channel).ClassifyStream(iter(requests.get, None))
            requests.put(classify_pb2.ClassifyRequest(image=IMAGE, request_id="first"))
            assert next(answers).request_id == "first"

            over_http, opened = connection_to(server), time.monotonic()
            over_http.request("GET", "/v1/model")
            assert "Connection" not in answer_of(over_http.getresponse()).headers

            first_looks = dns.queries
            until = time.monotonic() + PATIENCE_S
            old = opened + 1.2  # s: each connection may be a tenth older than the others
            while dns.queries < first_looks + 2 * QUERIES or time.monotonic() < old:
                assert client.classify(IMAGE).label == "blue"
                assert time.monotonic() < until

            over_http.request("GET", "/v1/model")
            assert answer_of(over_http.getresponse()).headers["Connection"] == "close"
            over_http.close()

            requests.put(classify_pb2.ClassifyRequest(image=IMAGE, request_id="last"))
            assert next(answers).request_id == "last"
            requests.put(None)
            assert list(answers) == []
