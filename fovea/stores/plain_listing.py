"""Listings that obstore refuses for an odd key in them, by the store's own library: one for each extra."""

import re
from typing import Final, Protocol

from obstore.exceptions import InvalidPathError

from fovea.errors import DataInvalid
from fovea.stores import aws, azure, google
from fovea.stores.folder import Entry
from fovea.stores.object_keys import WHAT_IS_ODD


class PlainPages(Protocol):
    """The objects or the prefixes below a folder, with their keys as they are, page by page.

    After `next` raised, it may be called again. Raises obstore's GenericError, whose text says what obstore's
    own would.
    """

    def next(self) -> list[Entry] | None:
        """The next page, None after the last."""

    def next_prefixes(self) -> list[str] | None:
        """As `next`, of the prefixes."""


_EXTRA: Final = {"s3": "aws", "gs": "google", "az": "azure"}


def plain_pages(
    root: str, prefix: str, odd: InvalidPathError, after: str = "", delimiter: str = ""
) -> PlainPages:
    """Of the bucket `root`, what lies under `prefix` behind the key `after`; obstore's error was `odd`.

    Raises DataInvalid where the extra of this store is not installed.
    """
    scheme, _, bucket = root.partition("://")
    if scheme == "s3" and aws.is_installed():
        return aws.PlainPages(bucket, prefix, after, delimiter)
    if scheme == "gs" and google.is_installed():
        return google.PlainPages(bucket, prefix, after, delimiter)
    if scheme == "az" and azure.is_installed():
        return azure.PlainPages(bucket, prefix, after, delimiter)
    named = re.search(r'[Pp]ath (".*?")[ :]', str(odd), re.DOTALL)
    uri = f"{root}/{prefix}".rstrip("/")
    raise DataInvalid(
        f"{uri}: cannot be listed: {named[1] if named else 'a key'} has {WHAT_IS_ODD}: rename it; or install "
        f"`fovea-vision[{_EXTRA[scheme]}]`, with which it costs itself alone"
    ) from odd
