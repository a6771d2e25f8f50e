"""Folders of objects, by URI: local, or in a bucket. The only module that knows buckets.

Keys are relative to the folder and separated by `/`. Buckets are reached through obstore, with the
credentials that each store's own SDK reads from the environment. Local folders are read here, with the
standard library: obstore's local listing ends at the first file name that is not UTF-8.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore, from_url

from fovea.errors import ObjectMissing, SettingsInvalid, Unavailable

BUCKET_SCHEMES = ("s3", "gs", "az")


@dataclass(frozen=True)
class Entry:
    """One object of a listing. `etag` changes when the content does."""

    key: str
    size: int
    etag: str
    last_modified: datetime


class Folder(Protocol):
    """A folder of objects. Every method raises Unavailable when the store does not answer or refuses us."""

    uri: str

    @property
    def name(self) -> str:
        """The last segment of the URI."""

    def folder(self, key: str) -> "Folder":
        """The folder below this one."""

    def entries(self) -> Iterator[Entry]:
        """Every object below this folder, sorted by key. A folder that does not exist has none."""

    def children(self) -> list[str]:
        """The names of the folders directly below, sorted."""

    def exists(self, key: str) -> bool: ...

    def read(self, key: str) -> bytes:
        """Raises ObjectMissing when there is no such object."""

    def write(self, key: str, data: bytes) -> None:
        """Writes the object whole or not at all, over what was there."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Writes the object whole unless it exists. True when it was this call that wrote it."""


def open_folder(uri: str) -> Folder:
    """The folder at a path, `file://`, `s3://`, `gs://` or `az://` URI. Nothing is contacted or created yet.

    Raises SettingsInvalid for a URI of another kind.
    """
    scheme = urlsplit(uri).scheme if "://" in uri else ""
    if scheme in BUCKET_SCHEMES:
        return _open_bucket(uri, urlsplit(uri).path.strip("/"))
    if scheme == "file":
        return LocalFolder(Path(unquote(urlsplit(uri).path)))
    if scheme:
        allowed = ", ".join(f"{s}://" for s in (*BUCKET_SCHEMES, "file"))
        raise SettingsInvalid(f"{uri}: {scheme}:// is not a place that Fovea knows; use a path, {allowed}")
    if not uri:
        raise SettingsInvalid("a path or URI is empty")
    return LocalFolder(Path(uri))


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
        return _walk(self.path, "")

    def children(self) -> list[str]:
        if not self.path.is_dir():
            return []
        return sorted(child.name for child in self.path.iterdir() if child.is_dir())

    def exists(self, key: str) -> bool:
        return (self.path / key).is_file()

    def read(self, key: str) -> bytes:
        try:
            return (self.path / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectMissing(f"{self.path / key}: no such file") from error
        except OSError as error:
            raise Unavailable(f"{self.path / key}: cannot be read: {error.strerror}") from error

    def write(self, key: str, data: bytes) -> None:
        try:
            _beside(self.path / key, data).replace(self.path / key)
        except OSError as error:
            raise Unavailable(f"{self.path / key}: cannot be written: {error.strerror}") from error

    def put_if_absent(self, key: str, data: bytes) -> bool:
        target = self.path / key
        try:
            temporary = _beside(target, data)
            try:
                # A hard link fails when the name is taken, which a rename does not.
                os.link(temporary, target)
            finally:
                temporary.unlink()
        except FileExistsError:
            return False
        except OSError as error:
            raise Unavailable(f"{target}: cannot be written: {error.strerror}") from error
        return True


def _beside(target: Path, data: bytes) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
    with os.fdopen(descriptor, "wb") as file:
        # mkstemp makes the file private; what others are to read has to follow the umask as usual.
        os.fchmod(file.fileno(), 0o666 & ~_umask())
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _walk(folder: Path, prefix: str) -> Iterator[Entry]:
    """Sorted as a bucket sorts: a folder stands where its name with a `/` does."""
    try:
        with os.scandir(folder) as children:
            found = [(child.name + "/" if child.is_dir() else child.name, child) for child in children]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise Unavailable(f"{folder}: cannot be listed: {error.strerror}") from error
    for name, child in sorted(found, key=lambda pair: os.fsencode(pair[0])):
        if name.endswith("/"):
            yield from _walk(Path(child.path), prefix + name)
        elif child.is_file() and not name.startswith(".tmp-"):
            facts = child.stat()
            modified = datetime.fromtimestamp(facts.st_mtime, UTC)
            yield Entry(prefix + name, facts.st_size, f"{facts.st_mtime_ns:x}-{facts.st_size:x}", modified)


def _open_bucket(uri: str, prefix: str) -> "BucketFolder":
    parts = urlsplit(uri)
    if not parts.netloc:
        raise SettingsInvalid(f"{uri}: the bucket's name is missing; write {parts.scheme}://BUCKET/PREFIX")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    # obstore reads the endpoint by itself, but refuses http:// unless it is told that this is meant.
    plain_http = endpoint.startswith("http:")
    store = from_url(
        f"{parts.scheme}://{parts.netloc}",
        client_options={
            "connect_timeout": "5s",
            "timeout": "60s",
            "allow_http": plain_http,
        },
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=60)},
    )
    return BucketFolder(store, f"{parts.scheme}://{parts.netloc}", prefix)


class BucketFolder:
    """A prefix of a bucket."""

    def __init__(self, store: ObjectStore, root: str, prefix: str) -> None:
        self._store = store
        self._root = root
        self._prefix = prefix
        self.uri = f"{root}/{prefix}".rstrip("/")

    @property
    def name(self) -> str:
        return self.uri.rsplit("/", 1)[-1]

    def folder(self, key: str) -> "BucketFolder":
        return BucketFolder(self._store, self._root, self._full(key.strip("/")))

    def entries(self) -> Iterator[Entry]:
        skip = len(self._prefix) + 1 if self._prefix else 0
        try:
            for batch in obstore.list(self._store, self._prefix or None):
                for found in batch:
                    etag = (found["e_tag"] or "").strip('"')
                    yield Entry(found["path"][skip:], found["size"], etag, found["last_modified"])
        except (BaseError, OSError) as error:
            raise self._failure("listed", "", error) from error

    def children(self) -> list[str]:
        try:
            found = obstore.list_with_delimiter(self._store, self._prefix or None)["common_prefixes"]
        except (BaseError, OSError) as error:
            raise self._failure("listed", "", error) from error
        return sorted(prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in found)

    def exists(self, key: str) -> bool:
        try:
            obstore.head(self._store, self._full(key))
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise self._failure("read", key, error) from error
        return True

    def read(self, key: str) -> bytes:
        try:
            return bytes(obstore.get(self._store, self._full(key)).bytes())
        except FileNotFoundError as error:
            raise ObjectMissing(f"{self.uri}/{key}: no such object") from error
        except (BaseError, OSError) as error:
            raise self._failure("read", key, error) from error

    def write(self, key: str, data: bytes) -> None:
        try:
            obstore.put(self._store, self._full(key), data)
        except (BaseError, OSError) as error:
            raise self._failure("written", key, error) from error

    def put_if_absent(self, key: str, data: bytes) -> bool:
        try:
            # Conditional puts are for single requests; obstore would split a large object into parts.
            obstore.put(self._store, self._full(key), data, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise self._failure("written", key, error) from error
        return True

    def _full(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _failure(self, verb: str, key: str, error: Exception) -> Unavailable:
        where = f"{self.uri}/{key}".rstrip("/")
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            return Unavailable(f"{where}: cannot be {verb}: the store refuses these credentials")
        # obstore's text goes on with a dump of the Rust error; its first line is the one for a person.
        return Unavailable(f"{where}: cannot be {verb}: {str(error).splitlines()[0]}")
