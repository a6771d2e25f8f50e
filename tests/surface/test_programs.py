"""The command lines of the programs, their variables and exit codes."""

import re
import runpy
import signal
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from fovea import entry
from fovea.errors import ExitCode
from tests.options_page import page
from tests.surface.recording import RECORDED, compare

ROOT = Path(__file__).parents[2]
PACKAGES = ("fovea", "trainer", "server", "scorer")


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`python -m NAME` without a process of its own, in lines that are never broken."""
    monkeypatch.setattr(entry, "run", lambda module: import_module(module).main())
    monkeypatch.setenv("COLUMNS", "100000")
    before = signal.getsignal(signal.SIGHUP)  # which the server takes
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
        yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("in_this_process")
def test_help_is_as_recorded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def help_of(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", [*words, "--help"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(words[0], run_name="__main__")
        assert ended.value.code == 0, words
        return as_in_any_python(capsys.readouterr().out)

    recorded = set()
    for program in programs():
        text = help_of(program)
        texts = {program: text} | {
            f"{program} {command}": help_of(program, command) for command in commands_in(text)
        }
        for words, help_text in texts.items():
            name = f"help/{words.replace(' ', '-')}.txt"
            compare(name, help_text)
            recorded.add(name)
    assert {f"help/{file.name}" for file in (RECORDED / "help").iterdir()} == recorded


def programs() -> list[str]:
    """What `python -m` runs: each such module begins by handing itself to `fovea.entry`."""
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    paths = (
        file.relative_to(ROOT).with_suffix("") for file in files if "\n    entry.run(" in file.read_text()
    )
    return sorted(".".join(path.parts).removesuffix(".__main__") for path in paths)


def commands_in(help_text: str) -> list[str]:
    return re.findall(r"^  ([a-z-]+)  ", help_text, re.MULTILINE) if "COMMAND [OPTIONS]" in help_text else []


def as_in_any_python(help_text: str) -> str:
    """An option a line; Python 3.13 leaves out the first VALUE of `-k VALUE, --top-k VALUE`."""
    text = re.sub(r"^  (-\w) \S+, (?=--)", r"  \1, ", help_text, flags=re.MULTILINE)
    return re.sub(r"^(  \S.*?) *(?:\n {5,}|   *)(?=\S)", r"\1  ", text, flags=re.MULTILINE)


def test_variables_are_as_recorded() -> None:
    names = sorted(set(re.findall(r"\bFOVEA_\w+", page())))
    compare("variables.txt", "\n".join(names) + "\n")


def test_exit_codes_are_as_recorded() -> None:
    compare("exit-codes.json", {code.name: code.value for code in ExitCode})
