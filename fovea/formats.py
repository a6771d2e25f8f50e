"""Which formats of image files are read."""

from typing import Final

from PIL import features

FORMATS: Final = (
    *("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"),
    *(["AVIF"] if features.check("avif") else []),
)
IMAGE_SUFFIXES: Final = (
    *("jpg", "jpeg", "jpe", "jfif", "png", "webp"),
    *("bmp", "gif", "tif", "tiff", "avif"),
)
"""What names of image files end in, in either case, after the dot."""
