"""The first directory of a TIFF: what it says beside pixels is shortened, what it holds is put into words."""

import io
import struct
from collections.abc import Iterator, Set
from itertools import islice
from typing import Final, NamedTuple

from PIL import TiffImagePlugin, TiffTags

from fovea.errors import ImageInvalid

STARTS: Final = tuple(TiffImagePlugin.PREFIXES)
MAX_VALUES: Final = 100_000
"""Of an entry on the pixels: places of strips, say. Pillow makes an object of each."""
MOST_DIRECTORIES: Final = 16
"""Of EXIF in one AVIF; one is usual, and chance makes one in a hundred files of 32 MB."""
MAX_ENTRIES: Final = 5_000
"""Of the directory; of more, no tag is read."""
LONG: Final = 1_000
"""Values of an entry beside the pixels, from which on it is shortened."""

_BYTES_AND_TEXT: Final = {1, 2, 6, 7}
"""Types of an entry (TIFF 6.0, page 15) that stay in one piece."""
_SIZES_BYTES: Final = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
_SUB_DIRECTORIES: Final = {330, 34665, 34853, 40965}
"""SubIFDs, EXIF, GPS and Interoperability, of which Pillow would read every value."""
_NO_TAG: Final = 65_535
_PIXEL_TAGS: Final = {
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322),
    *(323, 324, 325, 332, 334, 338, 339, 340, 341, 347, 512, 513, 514, 515, 517, 518, 519, 520, 529),
    *(530, 531, 532),
}


class _Entry(NamedTuple):
    at: int
    """where it is in the file"""
    tag: int
    kind: int
    values: int

    def is_there(self, data: bytes) -> bool:
        """Whether the file could hold so many values, of a known kind; else Pillow passes the tag by."""
        return self.kind in _SIZES_BYTES and self.values * _SIZES_BYTES[self.kind] <= len(data)


def without_long_metadata(data: bytes) -> bytes:
    """The file, in whose first directory no tag beside the pixels' is long or leads to another directory.

    Raises ImageInvalid where the pixels' own have more than 100,000 that are really there; what is damaged
    otherwise is left to the decoder.
    """
    return _shortened(data, _PIXEL_TAGS)


def without_long_exif(data: bytes) -> bytes:
    """An AVIF, in whose directories of EXIF no tag is long or leads to another directory.

    Raises ImageInvalid for one with more directories than sound ones have.
    """
    places = [place for start in STARTS for place in islice(_find_all(data, start), MOST_DIRECTORIES + 1)]
    if len(places) > MOST_DIRECTORIES:
        raise ImageInvalid("undecodable", f"the image has more than {MOST_DIRECTORIES} directories of EXIF")
    for place in places:
        data = data[:place] + _shortened(data[place:], set())
    return data


def _find_all(data: bytes, piece: bytes) -> Iterator[int]:
    place = data.find(piece)
    while place >= 0:
        yield place
        place = data.find(piece, place + 1)


def _shortened(data: bytes, spared: Set[int]) -> bytes:
    """Without long tags but those that are spared."""
    changed: bytearray | None = None
    order, is_big = _layout(data)
    for entry in _entries(data):
        if entry.kind in _BYTES_AND_TEXT or not entry.is_there(data):
            continue
        if entry.tag in spared:
            _check_count(entry)
        elif entry.tag in _SUB_DIRECTORIES or entry.values > LONG:
            changed = changed or bytearray(data)
            if entry.tag in _SUB_DIRECTORIES:
                struct.pack_into(order + "H", changed, entry.at, _NO_TAG)
            struct.pack_into(order + ("Q" if is_big else "I"), changed, entry.at + 4, 1)
    return data if changed is None else bytes(changed)


def _check_count(entry: _Entry) -> None:
    if entry.values > MAX_VALUES:
        count = f"{entry.values} values, more than {MAX_VALUES}"
        raise ImageInvalid("undecodable", f"a tag of the image has {count}")


def describe(data: bytes) -> str | None:
    """What kind of TIFF it is, for a person; None where its directory does not say."""
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[:16] if _layout(data)[1] else data[:8])
        file = io.BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
        if not all(directory.get(tag) for tag in (256, 257)) or 262 not in directory:
            return None
        return "a TIFF of " + ", ".join(_properties(directory))
    except Exception:  # a directory that lies
        return None


def _properties(directory: TiffImagePlugin.ImageFileDirectory_v2) -> Iterator[str]:
    bits, formats = directory.get(258, (1,)), directory.get(339, (1,))
    kind = {1: "unsigned", 2: "signed", 3: "float", 5: "complex", 6: "complex"}.get(formats[0], "undefined")
    yield f"{directory.get(277, 1)} x {'/'.join(map(str, dict.fromkeys(bits)))}-bit {kind} samples"
    meaning = directory.get(262)
    names = {0: "white is zero", 1: "black is zero", 32803: "colour filter array", 34892: "linear raw"}
    known = {value: name for name, value in TiffTags.lookup(262).enum.items()}
    yield str(names.get(meaning or 0) or known.get(meaning or 0) or f"photometric interpretation {meaning}")
    compression = directory.get(259, 1)
    yield f"compression {TiffImagePlugin.COMPRESSION_INFO.get(compression, compression)}"
    yield "big-endian" if directory.prefix == b"MM" else "little-endian"


def _layout(data: bytes) -> tuple[str, bool]:
    """The byte order, for struct, and whether it is a BigTIFF."""
    return "<" if data.startswith(b"II") else ">", len(data) > 3 and 43 in {data[2], data[3]}


def _entries(data: bytes) -> Iterator[_Entry]:
    """Of the first directory, as far as it is there."""
    order, is_big = _layout(data)
    try:
        (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
        (length,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, start)
    except struct.error:
        return
    layout = struct.Struct(order + ("HHQ8x" if is_big else "HHI4x"))
    first = start + (8 if is_big else 2)
    count = min(length, (len(data) - first) // layout.size, MAX_ENTRIES)
    for index in range(count):
        at = first + index * layout.size
        yield _Entry(at, *layout.unpack_from(data, at))
