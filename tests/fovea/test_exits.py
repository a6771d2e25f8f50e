"""What a program's end looks like from outside."""

import subprocess
import sys

import pytest


def ends(body: str) -> subprocess.CompletedProcess[str]:
    """Runs a program whose main has this body."""
    program = f"from fovea import errors, exits\ndef main():\n    {body}\nexits.run(main)"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("body", "code", "stderr"),
    [
        ("pass", 0, ""),
        ("raise errors.DataInvalid('a\\nb')", 65, "error: a b\n"),
        ("raise errors.Unavailable('no bucket')", 69, "error: no bucket\n"),
        (r"raise errors.DataInvalid('a\x1b[2Jb\udce9\u202ec')", 65, "error: a\\x1b[2Jb\\xe9\\u202ec\n"),
        ("raise errors.Terminated('saved')", 143, "error: saved\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
    ],
)
def test_a_foreseen_end_is_one_line_and_an_exit_code(body: str, code: int, stderr: str) -> None:
    ended = ends(body)
    assert (ended.returncode, ended.stderr) == (code, stderr)


def test_a_file_that_the_machine_refuses_is_no_bug() -> None:
    ended = ends("open('/' + 300 * 'x')")
    assert ended.returncode == 69
    assert ended.stderr == f"error: '/{300 * 'x'}': File name too long\n"


def test_a_file_that_is_missing_by_mistake_is_a_bug() -> None:
    assert ends("open('/no/such/file')").returncode == 1


def test_sigterm_is_no_failure_that_a_handler_may_take_it_for() -> None:
    body = "\n    ".join(["try:", "  raise errors.Terminated('saved')", "except Exception:", "  pass"])
    assert ends(body).returncode == 143


def test_a_bug_keeps_its_traceback_and_exits_1() -> None:
    ended = ends("raise ZeroDivisionError")
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


def test_a_call_that_is_left_behind_does_not_abort_the_end() -> None:
    """It comes back while the interpreter is taken down, and a library in Rust has called it."""
    program = """if True:
        import os, sys, threading, time
        import pydantic
        from fovea import errors, exits, foreground
        inside = threading.Event()
        reader, writer = os.pipe()

        @pydantic.validate_call
        def hang():
            inside.set()
            os.read(reader, 1)

        class Slow:
            def write(self, text):
                sys.__stdout__.write(text)

            def flush(self):
                sys.__stdout__.flush()
                if sys.is_finalizing():
                    os.write(writer, b"x")
                    time.sleep(0.2)

        def main():
            foreground.result_of = lambda future: inside.wait()
            foreground.interruptibly(hang)
            print("out")
            raise errors.Terminated("stopped")

        sys.stdout = Slow()
        exits.run(main)
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, "out\n", "error: stopped\n")
