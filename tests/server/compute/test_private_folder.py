import errno
import fcntl
import logging
import os
import tempfile
from pathlib import Path

import pytest

from fovea.errors import Unavailable
from server.compute import private_folder
from server.compute.private_folder import PrivateFolder, remove_abandoned


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_this_users_alone_and_gone_once_it_is_removed(temporary: Path) -> None:
    folder = PrivateFolder()
    assert folder.path.parent == temporary
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "file").touch()
    for _ in range(2):
        folder.remove()
        assert not list(temporary.iterdir())


def test_only_folders_that_nobody_holds_any_longer_are_removed(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held, abandoned, other = PrivateFolder(), PrivateFolder(), temporary / "other"
    other.mkdir()
    (temporary / f"{private_folder.PREFIX}link").symlink_to(other)
    (abandoned.path / "weights.bin").touch()
    assert abandoned._lock is not None
    os.close(abandoned._lock)  # as the end of its process does
    remove_abandoned()
    assert abandoned.path.exists()  # it may be so new that it is about to be locked
    monkeypatch.setattr(private_folder, "NEW_S", -1)
    with caplog.at_level(logging.INFO):
        remove_abandoned()
    assert {path.name for path in temporary.iterdir()} == {held.path.name, "other", "fovea-server-link"}
    assert [vars(record)["folder"] for record in caplog.records] == [str(abandoned.path)]
    held.remove()


def test_where_there_are_no_locks_no_folder_is_left(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    descriptors = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(Unavailable, match="no folder for temporary files: No locks available"):
        PrivateFolder()
    assert not list(temporary.iterdir())
    assert len(list(Path("/dev/fd").iterdir())) == descriptors


@pytest.mark.parametrize(
    ("tempdir", "candidates", "reason"),
    [("/dev/null", [], "Not a directory"), (None, ["/dev/null"], "No usable temporary directory")],
)
def test_without_a_folder_for_temporary_files_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tempdir: str | None, candidates: list[str], reason: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", tempdir)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: candidates)
    with pytest.raises(Unavailable, match=f"no folder for temporary files: {reason}"):
        PrivateFolder()
    remove_abandoned()
