"""Whether a store can be trusted with what two programs may write at the same time."""

import logging
from typing import Final

from fovea.errors import FoveaError, SettingsInvalid, Unavailable
from fovea.stores.buckets import BucketFolder
from fovea.stores.folder import Folder

logger = logging.getLogger(__name__)

PROBE: Final = ".fovea-put-if-absent"
_NOT_IMPLEMENTED: Final = "status code: 501"


def require_conditional_puts(folder: Folder) -> None:
    """Puts one name twice, if it is absent, below this folder of a bucket, and removes it.

    Raises SettingsInvalid when the store writes it twice, as stores do that do not know the condition: there
    the second of two workers would replace what the first has committed, and both would be told that they
    were first. Raises Unavailable when it cannot be written at all. Whoever may not delete leaves one empty
    object, however often this is called.
    """
    if isinstance(folder, BucketFolder):
        _put_twice(folder)


def _put_twice(folder: BucketFolder) -> None:
    first, second = _put(folder), _put(folder)
    # Another program's was there, and has been removed in between: now it is ours.
    third = not first and second and _put(folder)
    if first or second:
        _remove(folder)
    if (first and second) or third:
        raise _unfit(folder, "is told in vain")


def _put(folder: BucketFolder) -> bool:
    try:
        return folder.put_if_absent(PROBE, b"")
    except Unavailable as error:
        if _NOT_IMPLEMENTED in str(error):
            raise _unfit(folder, f"refuses ({_NOT_IMPLEMENTED})") from error
        raise


def _remove(folder: BucketFolder) -> None:
    try:
        folder.remove(PROBE)
    except FoveaError as error:
        logger.debug("%s", error)


def _unfit(folder: BucketFolder, what: str) -> SettingsInvalid:
    return SettingsInvalid(
        f"{folder.uri}: this store {what} to write only what is absent (If-None-Match: *), so one worker "
        "could replace what another has finished; take one with conditional writes, as AWS S3, Google's, "
        "Azure's and MinIO have, or a folder"
    )
