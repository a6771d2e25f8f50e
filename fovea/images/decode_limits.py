"""What an image file may ask of its decoder beside pixels: a small file can be made to take it hours.

The pixels are bounded elsewhere; here it is what a decoder does again and again. Each scan of a JPEG goes
over the whole image, however few bytes it has; each small piece of a header is a turn of a loop in Python.
`metadata` has what applies these numbers as an image is opened; it, `gif` and `png` apply them to pieces.
"""

from typing import Final

MAX_HEADER_READS: Final = 5_000
"""About 1,200 segments of a JPEG or 1,600 chunks of a PNG before the first pixel."""
MAX_READS: Final = 1_000_000
"""Of the rest. A second; run-length encoding in a BMP takes one for each byte."""
MAX_PIECES: Final = 1_000_000
"""Chunks, segments or blocks of a file, gone through for its metadata; half a second."""
MAX_RLE_PIXELS: Final = 10_000_000
"""Of a run-length encoded BMP, which Pillow decodes in Python: a second."""
ANY_TILE_PIXELS: Final = 1024 * 1024
"""A tile of a TIFF may have so many, however small the image is."""
MAX_SCANS: Final = 100
"""Of a JPEG. libtiff draws the line there as well, where a TIFF has a JPEG inside."""
