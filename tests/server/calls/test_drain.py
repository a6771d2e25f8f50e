import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import grpc
import pytest

from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import tiny
from tests.servers import ServerProcess, running_server

CLIENTS = 8


class Clients:
    """Threads that classify until they are refused, or stopped; they count how each call ended."""

    def __init__(self, target: str) -> None:
        self.ends: Counter[str] = Counter()
        self.wrong = 0
        self.answered = threading.Semaphore(0)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(target, n)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _work(self, target: str, number: int) -> None:
        label = tiny.LABELS[number % 3]
        request = pb.ClassifyRequest(image=tiny.picture(label, (200, 150)))
        # A connection of its own, so that each client sees the server go by itself.
        with grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = ClassifierStub(channel)
            while not self._stopped.is_set():
                try:
                    response = stub.Classify(request, timeout=30)
                except grpc.RpcError as error:
                    self.ends[cast("grpc.Call", error).code().name] += 1
                    return
                self.ends["OK"] += 1
                self.wrong += response.predictions[0].label != label
                self.answered.release()


def test_sigterm_under_load_answers_what_was_accepted_and_refuses_the_rest(tiny_models: Path) -> None:
    with running_server(tiny_models) as server:
        clients = Clients(server.target)
        for _ in range(10 * CLIENTS):
            assert clients.answered.acquire(timeout=30)
        server.send(signal.SIGTERM)
        assert server.exit_code() == 0
        clients.join()
    assert clients.ends.keys() == {"OK", "UNAVAILABLE"}
    assert clients.ends["UNAVAILABLE"] == CLIENTS
    assert clients.wrong == 0
    assert says_nothing_is_wrong(server)


def test_idle_streams_end_with_our_own_words_at_sigterm(tiny_models: Path) -> None:
    with running_server(tiny_models) as server, grpc.insecure_channel(server.target) as channel:
        hold = threading.Event()
        streams = [ClassifierStub(channel).ClassifyStream(requests(before, hold)) for before in (0, 1, 20)]
        answers = [next(stream).response.predictions[0].label for stream in streams[1:]]
        answers += [next(streams[2]).response.predictions[0].label for _ in range(19)]
        server.send(signal.SIGTERM)
        ends = [end_of(stream) for stream in streams]
        assert server.exit_code() == 0
        hold.set()
    assert answers == ["red"] * 21
    says = "the server is shutting down; another replica will answer"
    assert ends == [(grpc.StatusCode.UNAVAILABLE, says)] * 3
    assert says_nothing_is_wrong(server)


def requests(count: int, hold: threading.Event) -> Iterator[pb.ClassifyRequest]:
    for _ in range(count):
        yield pb.ClassifyRequest(image=tiny.picture("red"))
    hold.wait(60)


def end_of(stream: Iterator[pb.ClassifyStreamResponse]) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.RpcError) as raised:
        next(stream)
    return raised.value.code(), raised.value.details()


def says_nothing_is_wrong(server: ServerProcess) -> bool:
    return not any('"level": "error"' in line or "Traceback" in line for line in server.stderr)
