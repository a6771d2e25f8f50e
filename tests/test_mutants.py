"""That `make mutants` finds what it looks for: rooms, and the tests of each."""

import pytest

from fovea.errors import ExitCode
from tests.mutants import __main__ as command
from tests.mutants.rooms import ROOMS, ROOT, Room


def test_every_room_has_modules_and_tests() -> None:
    for room in map(Room.named, ROOMS):
        assert room.modules, room
        assert all(list((ROOT / tests).glob("test_*.py")) for tests in room.tests), room


def test_a_room_may_be_a_module_or_a_line_of_one() -> None:
    module = Room.named("server/queue").modules[-1]
    assert Room.named(f"{module}:7") == Room(f"{module}:7", (module,), ("tests/server/queue",), line=7)
    assert Room.named(module).line is None


def test_what_is_no_room_is_named() -> None:
    for name in ("server/nowhere", "server/queue/nowhere.py"):
        with pytest.raises(ValueError, match=f"ROOM={name}: there is no"):
            Room.named(name)


def test_packages_that_are_missing_are_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "NEEDED", {"not_installed_here": "not-installed", "pytest": "pytest"})
    assert command.main() == ExitCode.UNAVAILABLE
    assert capsys.readouterr().err == (
        "python -m tests.mutants needs not-installed, which `make mutants` installs first\n"
    )
