"""A GIF without what it says beside its pixels."""

from typing import Final

from fovea.errors import ImageInvalid
from fovea.images import decode_limits

STARTS: Final = (b"GIF87a", b"GIF89a")


def bare(data: bytes) -> bytes:
    """Without comments and other extensions before the first frame, but those that say how it is drawn.

    Raises ImageInvalid for one in a million pieces.
    """
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0)
    blocks, pieces = [data[:at]], 0
    while data[at : at + 1] == b"\x21":
        start, label, at = at, data[at + 1 : at + 2], at + 2
        while size := int.from_bytes(data[at : at + 1]):
            at, pieces = at + 1 + size, pieces + 1
            if pieces > decode_limits.MAX_PIECES:
                raise ImageInvalid("undecodable", "the image is in too many small pieces")
        at += 1
        if label == b"\xf9":
            blocks.append(data[start:at])
    return b"".join([*blocks, data[at:]])
