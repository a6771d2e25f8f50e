import fcntl
import json
import logging
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import grpc

from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.telemetry.log_queue import QueuedLog
from tests import tiny
from tests.programs import Program
from tests.servers import FREE_PORTS, ROOT, clean_environment

PATIENCE_S = 30
SMALLEST_PIPE_BYTES = 4096


def test_lines_come_in_order_and_flush_waits_for_them() -> None:
    reader, writer = os.pipe()
    log = QueuedLog(writer)
    for number in range(20):
        log.emit(record(f"line {number}"))
    log.flush()
    assert os.read(reader, 1 << 16).decode().splitlines() == [f"line {number}" for number in range(20)]


def test_lines_that_do_not_fit_are_dropped_and_the_log_says_how_many() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE_BYTES)
    log = QueuedLog(writer, capacity_lines=3)
    log.setFormatter(logging.Formatter("%(message)s %(lines)s", defaults={"lines": ""}))
    filling = "x" * SMALLEST_PIPE_BYTES * 2
    for _ in range(50):
        log.emit(record(filling))
    with os.fdopen(reader) as lines:
        assert lines.readline().strip() == filling
        notice = lines.readline()
        assert notice.startswith("lines of the log were dropped")
        dropped = int(notice.split()[-1])
        assert [lines.readline().strip() for _ in range(50 - dropped - 1)] == [filling] * (50 - dropped - 1)


def test_server_whose_log_nobody_reads_answers_and_ends(tiny_models: Path) -> None:
    ports = FREE_PORTS
    flags = ("--host", "127.0.0.1", *ports, "--threads", "1", "--log-level", "debug")
    options: dict[str, Any] = {"cwd": ROOT, "env": clean_environment(), "stderr": subprocess.PIPE}
    with Program("server", "--models", str(tiny_models), *flags, **options) as process:
        try:
            assert process.stderr
            fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE_BYTES)
            ready: dict[str, Any] = {}
            while ready.get("message") != "ready":
                ready = json.loads(process.stderr.readline())
            classify(f"127.0.0.1:{ready['port']}", times=100)  # with a line of some 300 bytes for each
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


def classify(target: str, times: int) -> None:
    request = pb.ClassifyRequest(image=tiny.picture("red"), request_id="x" * 128)
    with grpc.insecure_channel(target) as channel:
        for _ in range(times):
            ClassifierStub(channel).Classify(request, timeout=PATIENCE_S)


def record(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text})
