"""A gRPC server in this process that answers as a test tells it to."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from fovea.sticky import STICKY_KEY
from fovea.v1 import classify_pb2, classify_pb2_grpc

CLASSIFIER = "fovea.v1.Classifier"
HELD = b"held"


class StubClassifier(classify_pb2_grpc.ClassifierServicer):
    """Answers each image with the label "stub", but HELD ones only once `gate` is set.

    `statuses` are what the first calls end with instead of an answer, or `always` all of them. Each call is
    in `requests`, retries too, and releases `arrived`, then `ended` when it is answered or given up.
    """

    def __init__(self) -> None:
        self.address = ""
        self.requests: list[classify_pb2.ClassifyRequest] = []
        self.authorizations: list[str | bytes | None] = []
        """What each call said of who makes it."""
        self.sticky_keys: list[str | bytes | None] = []
        self.connections: set[str] = set()
        """That calls came by."""
        self.statuses: list[grpc.StatusCode] = []
        self.always: grpc.StatusCode | None = None
        self.gate = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self._health = health.HealthServicer()

    @property
    def calls(self) -> int:
        return len(self.requests)

    def set_serving(self, serving: bool) -> None:
        response = health_pb2.HealthCheckResponse
        self._health.set(CLASSIFIER, response.SERVING if serving else response.NOT_SERVING)

    def Classify(  # noqa: N802 - the contract's name
        self, request: classify_pb2.ClassifyRequest, context: grpc.ServicerContext
    ) -> classify_pb2.ClassifyResponse:
        self.requests.append(request)
        self._note_caller(context)
        self.connections.add(context.peer())
        context.add_callback(self.ended.release)
        self.arrived.release()
        if request.image == HELD:
            self.gate.wait(30)
        status = self.always or (self.statuses.pop(0) if self.statuses else None)
        if status:
            context.abort(status, "as the test wants it")
        prediction = classify_pb2.Prediction(label="stub", probability=1)
        return classify_pb2.ClassifyResponse(predictions=[prediction], request_id=request.request_id)

    def GetModel(  # noqa: N802
        self, request: classify_pb2.GetModelRequest, context: grpc.ServicerContext
    ) -> classify_pb2.GetModelResponse:
        self._note_caller(context)
        return classify_pb2.GetModelResponse(labels=["stub"])

    def _note_caller(self, context: grpc.ServicerContext) -> None:
        metadata = dict(context.invocation_metadata())
        self.authorizations.append(metadata.get("authorization"))
        self.sticky_keys.append(metadata.get(STICKY_KEY))

    def ClassifyBatch(  # noqa: N802
        self, request: classify_pb2.ClassifyBatchRequest, context: grpc.ServicerContext
    ) -> classify_pb2.ClassifyBatchResponse:
        return context.abort(grpc.StatusCode.UNIMPLEMENTED, "no test asks for it")

    def ClassifyStream(  # noqa: N802
        self, request_iterator: Iterator[classify_pb2.ClassifyRequest], context: grpc.ServicerContext
    ) -> Iterator[classify_pb2.ClassifyStreamResponse]:
        return context.abort(grpc.StatusCode.UNIMPLEMENTED, "no test asks for it")


@contextmanager
def stub_server(
    *, serving: bool = True, credentials: grpc.ServerCredentials | None = None
) -> Iterator[StubClassifier]:
    """Serves a StubClassifier on a free port of 127.0.0.1; `serving` is what its health says."""
    stub = StubClassifier()
    with ThreadPoolExecutor(32) as threads:
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0)])
        classify_pb2_grpc.add_ClassifierServicer_to_server(stub, server)
        health_pb2_grpc.add_HealthServicer_to_server(stub._health, server)
        stub.set_serving(serving)
        host = "127.0.0.1:0"
        port = server.add_secure_port(host, credentials) if credentials else server.add_insecure_port(host)
        stub.address = f"127.0.0.1:{port}"
        server.start()
        try:
            yield stub
        finally:
            stub.gate.set()
            server.stop(grace=None).wait()
