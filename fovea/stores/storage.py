"""Folders of objects, by URI: local, or in a bucket.

Keys are relative to the folder and separated by `/`. Local folders are read with the standard library:
obstore's local listing ends at the first file name that is not UTF-8.
"""

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fovea.errors import ObjectChanged, ObjectMissing, SettingsInvalid
from fovea.stores.folder import Entry, Folder
from fovea.stores.local_listing import TEMPORARY, list_local, local_entry, local_etag, local_failure

__all__ = ["BUCKET_SCHEMES", "Entry", "Folder", "LocalFolder", "is_bucket", "open_folder", "open_reachable"]

BUCKET_SCHEMES = ("s3", "gs", "az")

_PIECE_BYTES = 1024 * 1024


def open_folder(uri: str, *, long_retries: bool = False) -> Folder:
    """The folder at a path, `file://`, `s3://`, `gs://` or `az://` URI. Nothing is contacted or created yet.

    A bucket that fails is tried again for about a second, with `long_retries` for 45.
    Raises SettingsInvalid for a URI of another kind.
    """
    scheme = uri.split("://", 1)[0] if "://" in uri else ""
    if scheme in BUCKET_SCHEMES:
        from fovea.stores.buckets import open_bucket  # with the stores' libraries

        return open_bucket(uri, long_retries=long_retries)
    if scheme == "file":
        return LocalFolder(_file_path(uri))
    if scheme:
        allowed = ", ".join(f"{s}://" for s in (*BUCKET_SCHEMES, "file"))
        raise SettingsInvalid(f"{uri}: {scheme}:// is not a place that Fovea knows; use a path, {allowed}")
    if not uri:
        raise SettingsInvalid("a path or URI is empty")
    return LocalFolder(Path(uri))


def open_reachable(uri: str) -> Folder:
    """As `open_folder` with `long_retries`; but a bucket whose store nobody answers for is given up at once.

    Raises Unavailable then.
    """
    if not is_bucket(uri):
        return open_folder(uri)
    from fovea.stores.buckets import open_reachable_bucket

    return open_reachable_bucket(uri)


def _file_path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.netloc not in {"", "localhost"} or not parts.path:
        raise SettingsInvalid(f"{uri}: a file URI has three slashes and a whole path: file:///data/pets")
    return Path(unquote(uri.removeprefix("file://").removeprefix("localhost")))


def is_bucket(uri: str) -> bool:
    """True for a bucket's URI, false for a path or `file://`."""
    return uri.startswith(tuple(f"{scheme}://" for scheme in BUCKET_SCHEMES))


class LocalFolder:
    """A folder of this machine. Writes go to a temporary name first and are renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = str(path)

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def folder(self, key: str) -> "LocalFolder":
        return LocalFolder(self.path / key)

    def entries(self) -> Iterator[Entry]:
        return list_local(self.path)

    def children(self) -> list[str]:
        try:
            return sorted(child.name for child in self.path.iterdir() if child.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise local_failure(self.path, "listed", error) from error

    def exists(self, key: str) -> bool:
        try:
            return (self.path / key).is_file()
        except OSError as error:
            raise local_failure(self.path / key, "read", error) from error

    def stat(self, key: str) -> Entry:
        try:
            facts = (self.path / key).stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectMissing(f"{self.path / key}: no such file") from error
        except OSError as error:
            raise local_failure(self.path / key, "read", error) from error
        if not stat.S_ISREG(facts.st_mode):
            raise ObjectMissing(f"{self.path / key}: not a file")
        return local_entry(key, facts)

    def read(self, key: str, etag: str = "") -> bytes:
        try:
            with (self.path / key).open("rb") as file:
                data = file.read()
                current_etag = local_etag(os.fstat(file.fileno()))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectMissing(f"{self.path / key}: no such file") from error
        except OSError as error:
            raise local_failure(self.path / key, "read", error) from error
        if etag and current_etag != etag:
            raise ObjectChanged(f"{self.path / key}: changed since it was listed")
        return data

    def beginning(self, key: str, size_bytes: int) -> bytes:
        try:
            with (self.path / key).open("rb") as file:
                return file.read(size_bytes)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectMissing(f"{self.path / key}: no such file") from error
        except OSError as error:
            raise local_failure(self.path / key, "read", error) from error

    def pieces(self, key: str) -> Iterator[bytes]:
        path = self.path / key
        try:
            with path.open("rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    yield piece
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectMissing(f"{path}: no such file") from error
        except OSError as error:
            raise local_failure(path, "read", error) from error

    def write(self, key: str, data: bytes | mmap) -> None:
        target = self.path / key
        try:
            with _beside(target, data) as temporary:
                temporary.replace(target)
        except OSError as error:
            raise local_failure(target, "written", error) from error

    def put_if_absent(self, key: str, data: bytes | mmap) -> bool:
        target = self.path / key
        try:
            with _beside(target, data) as temporary:
                return _link_if_absent(temporary, target)
        except OSError as error:
            raise local_failure(target, "written", error) from error

    def remove(self, key: str) -> None:
        target = self.path / key
        try:
            target.unlink(missing_ok=True)
        except NotADirectoryError:
            pass
        except OSError as error:
            raise local_failure(target, "removed", error) from error


@contextmanager
def _beside(target: Path, data: bytes | mmap) -> Iterator[Path]:
    """The data in a temporary file of the target's folder, which is gone afterwards, come what may."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _link_if_absent(temporary: Path, target: Path) -> bool:
    try:
        # A hard link fails when the name is taken, which a rename does not.
        os.link(temporary, target)
    except FileExistsError:
        return False
    return True
