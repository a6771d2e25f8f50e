"""A prefix of an S3, Google or Azure bucket as a folder."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from mmap import mmap
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import ObjectStore

from fovea.errors import DataInvalid, FoveaError, ObjectChanged, ObjectMissing, ObjectUnreadable, Unavailable
from fovea.proxies import http_proxy, way_of
from fovea.stores.connection import open_store
from fovea.stores.credentials import hint
from fovea.stores.folder import Entry
from fovea.stores.object_keys import WHAT_IS_ODD, is_odd, without_folders
from fovea.stores.patience import store_called
from fovea.stores.plain_listing import plain_pages
from fovea.stores.resumed import Pages, Pieces

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

T = TypeVar("T")

# A refused listing comes as a generic error, unlike a refused read.
_REFUSED = re.compile(r"status code: (401|403)\b")
_ANSWERED = re.compile(r"status code: \d")
_AWAY = re.compile(r"HTTP error: |status code: (408|429|5(?!01)\d\d)\b")
# S3's word for an object in Glacier, which comes with 403, and Azure's for a blob of its archive tier.
_ARCHIVED = re.compile(r"\b(InvalidObjectState|BlobArchived|BlobBeingRehydrated)\b")
# A library of the store's that was asked for credentials, and what it said.
_PROVIDER = re.compile(r"External \S+ credential provider: (?:\w+: )?(.+)")
# Where obstore asks for credentials if the environment has none.
_METADATA_SERVICE = "169.254.169.254"


def open_bucket(uri: str, *, long_retries: bool = False) -> "BucketFolder":
    """Raises SettingsInvalid when the URI names no bucket. Nothing is contacted yet.

    A store that fails is tried again for about a second, with `long_retries` for 45.
    """
    store, root, prefix = open_store(uri, long_retries=long_retries)
    return BucketFolder(store, root, prefix)


def open_reachable_bucket(uri: str) -> "BucketFolder":
    """With long retries, of a store that answers, and be it that it is busy. Raises Unavailable in seconds.

    Those are for a store that fails; what nobody answers for is a mistyped endpoint.
    """
    open_bucket(uri).check_reachable()
    return open_bucket(uri, long_retries=True)


class BucketFolder:
    """A prefix of a bucket."""

    def __init__(self, store: ObjectStore, root: str, prefix: str) -> None:
        self._store = store
        self._root = root
        self._prefix = prefix
        self._known = store_called(root)
        self.uri = f"{root}/{prefix}".rstrip("/")

    @property
    def name(self) -> str:
        return self.uri.rsplit("/", 1)[-1]

    def folder(self, key: str) -> "BucketFolder":
        return BucketFolder(self._store, self._root, self._full(key.strip("/")))

    def check_reachable(self) -> None:
        """Raises Unavailable unless the store answers, whatever it says."""
        try:
            self._ask(lambda: obstore.head(self._store, self._full("nothing")))
        except (FileNotFoundError, PermissionDeniedError, UnauthenticatedError):
            pass
        except (BaseError, OSError) as error:
            if not _ANSWERED.search(str(error)):
                raise self._failure("reached", "", error) from error

    def entries(self) -> Iterator[Entry]:
        skip = len(self._prefix) + 1 if self._prefix else 0
        for entry in without_folders(self._listed()):
            if len(entry.key) > skip:
                yield replace(entry, key=entry.key[skip:])

    def _listed(self) -> Iterator[Entry]:
        """By their whole keys. obstore gives nothing of a page with a key that is odd."""
        last, pages, odd = "", Pages(self._store, self._prefix or None), None
        while odd is None:
            try:
                page = self._ask(pages.next)
            except InvalidPathError as error:
                odd = error
            except (BaseError, OSError) as error:
                raise self._failure("listed", "", error) from error
            else:
                if page is None:
                    return
                last = max(last, *(meta["path"] for meta in page)) if page else last
                yield from (_entry(meta["path"], meta) for meta in page)
        yield from self._listed_plainly(last, odd)

    def _listed_plainly(self, after: str, odd: InvalidPathError) -> Iterator[Entry]:
        pages = plain_pages(self._root, self._prefix, odd, after=after)
        try:
            while (page := self._ask(pages.next)) is not None:
                yield from page
        except (BaseError, OSError) as error:
            raise self._failure("listed", "", error) from error

    def children(self) -> list[str]:
        try:
            listing = self._ask(lambda: obstore.list_with_delimiter(self._store, self._prefix or None))
            prefixes = list(listing["common_prefixes"])
        except InvalidPathError as error:
            prefixes = self._plain_prefixes(error)
        except (BaseError, OSError) as error:
            raise self._failure("listed", "", error) from error
        return sorted(prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in prefixes)

    def _plain_prefixes(self, odd: InvalidPathError) -> list[str]:
        """Those that are not odd."""
        pages = plain_pages(self._root, self._prefix, odd, delimiter="/")
        prefixes = list[str]()
        try:
            while (page := self._ask(pages.next_prefixes)) is not None:
                prefixes += page
        except (BaseError, OSError) as error:
            raise self._failure("listed", "", error) from error
        return [prefix for prefix in prefixes if not is_odd(prefix.removesuffix("/"))]

    def exists(self, key: str) -> bool:
        try:
            self._ask(lambda: obstore.head(self._store, self._full(key)))
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise self._failure("read", key, error) from error
        return True

    def stat(self, key: str) -> Entry:
        try:
            return _entry(key, self._ask(lambda: obstore.head(self._store, self._full(key))))
        except FileNotFoundError as error:
            raise ObjectMissing(f"{self.uri}/{key}: no such object") from error
        except (BaseError, OSError) as error:
            raise self._failure("read", key, error) from error

    def read(self, key: str, etag: str = "") -> bytes:
        unchanged: GetOptions = {"if_match": f'"{etag}"'} if etag else {}
        try:
            return self._ask(
                lambda: bytes(obstore.get(self._store, self._full(key), options=unchanged).bytes())
            )
        except FileNotFoundError as error:
            raise ObjectMissing(f"{self.uri}/{key}: no such object") from error
        except PreconditionError as error:
            raise ObjectChanged(f"{self.uri}/{key}: changed since it was listed") from error
        except (BaseError, OSError) as error:
            raise self._failure("read", key, error) from error

    def beginning(self, key: str, size_bytes: int) -> bytes:
        try:
            full = self._full(key)
            return self._ask(lambda: bytes(obstore.get_range(self._store, full, start=0, length=size_bytes)))
        except FileNotFoundError as error:
            raise ObjectMissing(f"{self.uri}/{key}: no such object") from error
        except (BaseError, OSError) as error:
            raise self._failure("read", key, error) from error

    def pieces(self, key: str) -> Iterator[bytes]:
        try:
            pieces = Pieces(self._store, self._full(key))
            while piece := self._ask(pieces.next):
                yield piece
        except FileNotFoundError as error:
            raise ObjectMissing(f"{self.uri}/{key}: no such object") from error
        except PreconditionError as error:
            raise ObjectChanged(f"{self.uri}/{key}: changed while it was read") from error
        except (BaseError, OSError) as error:
            raise self._failure("read", key, error) from error

    def write(self, key: str, data: bytes | mmap) -> None:
        try:
            self._ask(lambda: obstore.put(self._store, self._full(key), data))
        except (BaseError, OSError) as error:
            raise self._failure("written", key, error) from error

    def put_if_absent(self, key: str, data: bytes | mmap) -> bool:
        try:
            # Conditional puts are for single requests; obstore would split a large object into parts.
            self._ask(
                lambda: obstore.put(self._store, self._full(key), data, mode="create", use_multipart=False)
            )
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise self._failure("written", key, error) from error
        return True

    def remove(self, key: str) -> None:
        try:
            self._ask(lambda: obstore.delete(self._store, self._full(key)))
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise self._failure("removed", key, error) from error

    def _ask(self, call: Callable[[], T]) -> T:
        """The call's result. A store that is away is waited for, as `wait_for_stores` had it."""
        return self._known.ask(call, _is_away)

    def _full(self, key: str) -> str:
        if is_odd(key):
            raise ObjectUnreadable(
                f"{self.uri}/{key}: cannot be asked for: its key has {WHAT_IS_ODD}: rename it"
            )
        return f"{self._prefix}/{key}" if self._prefix else key

    def _failure(self, verb: str, key: str, error: Exception) -> FoveaError:
        where = f"{self.uri}/{key}".rstrip("/")
        # obstore's text goes on with the store's own page and a dump of the Rust error, for nobody to read.
        reason = str(error).splitlines()[0].split(": <")[0].rstrip(" :")
        if _ARCHIVED.search(str(error)):
            return ObjectUnreadable(f"{where}: cannot be {verb}: it is archived; restore it first")
        if _METADATA_SERVICE in reason:
            scheme = self._root.partition(":")[0]
            reason = f"there are no credentials, nor a cloud's metadata service to ask for them{hint(scheme)}"
        elif provided := _PROVIDER.search(reason):
            reason = f"there are no credentials: {provided[1].rstrip('. ')}"
        elif isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or _REFUSED.search(reason):
            reason = "the store refuses these credentials"
        failure = DataInvalid if isinstance(error, InvalidPathError) else Unavailable
        url = re.search(r"https?://\S+", str(error))
        proxy = http_proxy(url[0]) if url else ""
        return failure(f"{where}: cannot be {verb}: {reason}{way_of(proxy)}")


def _is_away(error: Exception) -> bool:
    """Nobody answered, or only to say that it is busy. A wrong name, key or certificate is no such case."""
    text = str(error)
    permanent = _METADATA_SERVICE in text or "InvalidCertificate(" in text
    return isinstance(error, BaseError) and _AWAY.search(text) is not None and not permanent


def _entry(key: str, meta: "ObjectMeta") -> Entry:
    return Entry(key, meta["size"], (meta["e_tag"] or "").strip('"'), meta["last_modified"])
