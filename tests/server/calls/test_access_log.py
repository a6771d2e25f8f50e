import logging

import pytest

from fovea.v1 import classify_pb2 as pb
from server.calls.access_log import Call, address_of
from server.calls.answering import AccessLog, note


def call() -> Call:
    return Call("Classify", "photo-17", lambda: "ipv4:10.0.0.7:51234")


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_calls_that_are_drawn_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    drawn = iter([0.24, 0.25, 0.99, 0.0])
    log = AccessLog(0.25, lambda: next(drawn))
    for method in ("first", "second", "third", "fourth"):
        log.show(Call(method, "", lambda: ""), "OK", 0.1)
    assert [vars(record)["method"] for record in caplog.records] == ["first", "fourth"]


def test_line_tells_what_is_known_of_the_call(caplog: pytest.LogCaptureFixture) -> None:
    batch = call()
    for size in (2, 5, 3):
        timing = pb.Timing(batch_size=size)
        note(batch, pb.ClassifyResponse(model=pb.ModelVersion(version=4), timing=timing))
    note(batch, pb.ClassifyResponse())
    AccessLog(1).show(batch, "OK", 0.0123456)
    assert caplog.records[0].name == "server.access_log"
    facts = vars(caplog.records[0])
    assert (facts["method"], facts["code"], facts["ms"]) == ("Classify", "OK", 12.346)
    assert (facts["request_id"], facts["peer"]) == ("photo-17", "10.0.0.7")
    assert (facts["images"], facts["model_version"], facts["batch_size"]) == (4, 4, 5)


def test_bugs_are_logged_even_when_nothing_else_is(caplog: pytest.LogCaptureFixture) -> None:
    log = AccessLog(0)
    log.show(call(), "OK", 0.1)
    log.show(call(), "INTERNAL", 0.1)
    assert [vars(record)["code"] for record in caplog.records] == ["INTERNAL"]


def test_every_call_is_logged_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    AccessLog(0).show(call(), "OK", 0.1)
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:51234", "10.0.0.7"),
        ("ipv6:%5B2001:db8::7%5D:51234", "2001:db8::7"),
        ("ipv6:[::1]:51234", "::1"),
        ("unix:", "unix"),
        ("", ""),
    ],
)
def test_address_comes_without_its_port(peer: str, address: str) -> None:
    assert address_of(peer) == address
