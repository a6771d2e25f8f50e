"""Compute processes are forks of one that has loaded what they need."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.compute import template as module
from server.compute.child import Child
from server.compute.template import Template

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux alone")


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    template = Template()
    template.load()
    yield template
    template.end()


def started(template: Template) -> tuple[Child, socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        return template.start(theirs), ours


def parent_of(child: Child) -> int:
    return int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[1])


def process_of(template: Template) -> Child:
    assert template._process is not None
    return template._process


def test_a_fork_is_a_child_that_ends_with_its_socket(template: Template) -> None:
    child, ours = started(template)
    assert parent_of(child) == os.getpid()
    assert os.getpgid(child.pid) != os.getpgid(0)  # a terminal's Ctrl-C goes to the server alone
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(child.pid, signum)
    ours.close()
    assert child.wait() == 0 == child.wait()
    child.kill()  # which then is nobody's number


def test_it_is_told_by_which_signal_a_fork_was_ended(template: Template) -> None:
    child, ours = started(template)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    ours.close()


def test_forks_live_on_where_the_template_dies_and_it_is_loaded_again(template: Template) -> None:
    before, its_socket = started(template)
    first = process_of(template)
    os.kill(first.pid, signal.SIGKILL)
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    template.load()
    after, other_socket = started(template)
    assert process_of(template).pid != first.pid
    for child, ours in ((before, its_socket), (after, other_socket)):
        assert parent_of(child) == os.getpid()
        ours.close()
        assert child.wait() == 0


@pytest.fixture
def stopped() -> Iterator[Template]:
    """A template that has not loaded, and does not go on."""
    template = Template()
    template.begin()
    os.kill(process_of(template).pid, signal.SIGSTOP)
    yield template
    if template._process is not None:
        template._process.kill()
    template.end()


def test_a_template_that_dies_as_it_forks_is_told_and_left_behind(stopped: Template) -> None:
    process_of(stopped).kill()
    with pytest.raises(OSError, match=r"Broken pipe|forks of died|reset"):
        started(stopped)
    assert stopped._process is None


def test_a_template_that_does_not_answer_holds_up_the_event_loop_for_a_while_only(
    stopped: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FORKS_WITHIN_S", 0.05)
    with pytest.raises(OSError, match="does not answer"):
        started(stopped)
    assert stopped._process is None


def test_the_end_does_not_wait_until_the_template_has_loaded(
    stopped: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons: list[str] = []

    def load() -> None:
        with pytest.raises(OSError, match=r"forks of died|reset") as raised:
            stopped.load()
        reasons.append(str(raised.value))

    waits = threading.Event()
    answer = module._answer

    def waiting_answer(control: socket.socket, within_s: float) -> bytes:
        waits.set()
        return answer(control, within_s)

    monkeypatch.setattr(module, "_answer", waiting_answer)
    loading = threading.Thread(target=load)
    loading.start()
    waits.wait()
    threading.Thread(target=stopped.end).start()
    loading.join(timeout=20)
    assert reasons


def test_where_orphans_are_not_adopted_there_is_no_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_adopt_orphans", lambda yes: False)
    template = Template()
    template.begin()
    assert template._process is None


def test_without_a_template_a_process_loads_for_itself() -> None:
    child, ours = started(Template())
    ours.close()
    assert child.wait() == 0
