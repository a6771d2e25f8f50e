"""Half a minute of calls without a pause while versions come, good and bad ones."""

import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest

from fovea.images.preprocess import decode_image
from fovea.model.bundle import CONTRACT_FILE, ModelBundle, contract_json
from fovea.model.classifier import Classifier
from fovea.model.versions import publish
from fovea.stores.storage import LocalFolder
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import tiny
from tests.server import spoiled
from tests.servers import ServerProcess, running_server

IMAGE = tiny.picture((130, 100, 90), (64, 48))
CALLERS = 8
SECONDS_BETWEEN_VERSIONS = 3.0
GOOD, CHANGED, WRONG, HALF = (
    "good",
    "a byte is changed",
    "golden answers are wrong",
    "half-written for a while",
)
VERSIONS = [GOOD, CHANGED, GOOD, WRONG, GOOD, HALF, GOOD, GOOD, GOOD, GOOD]


@dataclass(frozen=True)
class TimedAnswer:
    sent: float
    seconds: float
    version: int
    digest: str
    probabilities: tuple[float, ...]
    """In the order of the labels."""


class Caller:
    """Sends one call after the other until it is told to stop; every fourth carries three images."""

    def __init__(self, target: str, stop: threading.Event) -> None:
        self.answers: list[TimedAnswer] = []
        with grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = ClassifierStub(channel)
            while not stop.is_set():
                self._call(stub, images=3 if len(self.answers) % 4 == 0 else 1)

    def _call(self, stub: ClassifierStub, images: int) -> None:
        sent = time.monotonic()
        if images == 1:
            responses = [stub.Classify(pb.ClassifyRequest(image=IMAGE, top_k=3), timeout=30)]
        else:
            request = pb.ClassifyBatchRequest(images=[IMAGE] * images, top_k=3)
            results = stub.ClassifyBatch(request, timeout=30).results
            responses = [result.response for result in results if result.HasField("response")]
            assert len(responses) == images
        seconds = time.monotonic() - sent
        for response in responses:
            row = sorted(response.predictions, key=lambda prediction: prediction.index)
            probabilities = tuple(prediction.probability for prediction in row)
            model = response.model
            self.answers.append(TimedAnswer(sent, seconds, model.version, model.digest, probabilities))


class Publisher:
    """Publishes VERSIONS, and remembers what the good ones answer."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models" / "tiny"
        self.digests: dict[int, str] = {}
        self.expected: dict[int, tuple[float, ...]] = {}
        self._folder = folder

    def publish(self, kind: str) -> None:
        number = len(list(self.models.glob("*"))) + 1
        staged = tiny.stage_bundle(self._folder / f"staged-{number}", gain=0.5 * number)
        match kind:
            case "good":
                publish(staged, str(self.models))
            case "a byte is changed":
                publish(spoiled.change_a_byte(staged), str(self.models))
            case "golden answers are wrong":
                publish(spoiled.change_the_golden_answers(staged), str(self.models))
            case _:
                self._publish_slowly(staged, number)
        if kind in (GOOD, HALF):
            self._expect(staged, number)

    def _publish_slowly(self, staged: ModelBundle, number: int) -> None:
        target = LocalFolder(self.models / str(number))
        for name in staged.contract.files:
            target.write(name, (staged.path / name).read_bytes())
        time.sleep(SECONDS_BETWEEN_VERSIONS / 2)  # some looks see it like this
        whole = staged.contract.model_copy(update={"version": number, "name": "tiny"})
        target.write(CONTRACT_FILE, contract_json(whole))

    def _expect(self, bundle: ModelBundle, number: int) -> None:
        (row,) = Classifier(bundle, "cpu", threads=1).classify(decode_image(IMAGE, tiny.SPEC)[np.newaxis])
        self.expected[number] = tuple(row.tolist())
        self.digests[number] = bundle.digest


@pytest.mark.slow
def test_no_call_fails_or_gets_a_wrong_answer_while_versions_come(tmp_path: Path) -> None:
    publisher, stop = Publisher(tmp_path), threading.Event()
    publisher.publish(GOOD)
    with (
        running_server(publisher.models, "--watch-interval-s", "0.5", python=sys.executable) as server,
        ThreadPoolExecutor(CALLERS) as pool,
    ):
        before = memory_mib(server)
        calls = [pool.submit(Caller, server.target, stop) for _ in range(CALLERS)]
        try:
            for kind in VERSIONS:
                time.sleep(SECONDS_BETWEEN_VERSIONS)
                publisher.publish(kind)
            last = max(publisher.expected)
            while server.wait_for("new version is live")["version"] != last:
                pass
            time.sleep(SECONDS_BETWEEN_VERSIONS / 2)
        finally:
            stop.set()
        callers = [call.result().answers for call in calls]  # raises what a call failed with
        after = memory_mib(server)
    for answers in callers:
        versions = [answer.version for answer in answers]
        assert versions == sorted(versions)
        assert set(versions) == set(publisher.expected)
    for answer in (answer for answers in callers for answer in answers):
        assert answer.digest == publisher.digests[answer.version]
        assert answer.probabilities == pytest.approx(publisher.expected[answer.version], abs=1e-6)
    refused = [line for line in server.stderr if "version is refused" in line]
    assert len(refused) == 2
    report(callers)
    print(f"resident memory: {before:.0f} MiB at the start, {after:.0f} MiB at the end")


def report(callers: list[list[TimedAnswer]]) -> None:
    """Prints the latency within a second of a swap against that of the other calls."""
    answers = [answer for answers in callers for answer in answers]
    first_sent: dict[int, float] = {}
    for answer in sorted(answers, key=lambda answer: answer.sent):
        first_sent.setdefault(answer.version, answer.sent)
    swaps = sorted(first_sent.values())[1:]
    near = [a.seconds for a in answers if any(abs(a.sent - swap) < 1 for swap in swaps)]
    other = [a.seconds for a in answers if all(abs(a.sent - swap) >= 1 for swap in swaps)]
    print(f"\n{len(answers)} answers, {len(swaps)} swaps")
    for name, seconds in (("within 1 s of a swap", near), ("otherwise", other)):
        hundredths = statistics.quantiles(seconds, n=100)
        p50, p99, worst = hundredths[49] * 1000, hundredths[98] * 1000, max(seconds) * 1000
        print(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {worst:.1f} ms")


def memory_mib(server: ServerProcess) -> float:
    resident_pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return resident_pages * 4096 / 2**20
