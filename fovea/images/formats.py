"""Which formats of image files are read, and by which decoders.

HEIC, HEIF and JPEG XL are read where the extra `formats` is installed: pillow-heif and pillow-jxl-plugin.
"""

import importlib.metadata
from functools import cache
from typing import Final

import PIL
from PIL import features

IMAGE_SUFFIXES: Final = (
    *("jpg", "jpeg", "jpe", "jfif", "png", "webp"),
    *("bmp", "gif", "tif", "tiff", "avif"),
    *("heic", "heif", "hif", "heics", "heifs", "jxl"),
)
"""What names of image files end in, in either case, after the dot; where no decoder is there for one, it is
refused by name."""

REVISION: Final = "2"
"""Of the image path. It is counted up by each change of what an image decodes to."""

_ALWAYS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


@cache
def readable() -> tuple[str, ...]:
    """The formats as Pillow calls them, in the order in which it tries them.

    AVIF comes before HEIF: a file of the brand mif1 may be either, and pillow-heif decodes no AVIF.
    """
    optional = (("AVIF", features.check("avif")), ("HEIF", _register_heif()), ("JXL", _register_jxl()))
    if features.check("avif"):
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # images are decoded side by side, each in one thread
    return (*_ALWAYS, *(name for name, is_there in optional if is_there))


def names() -> str:
    """Of the formats that are read, for a person."""
    return ", ".join({"HEIF": "HEIC/HEIF", "JXL": "JPEG XL"}.get(name, name) for name in readable())


@cache
def image_path() -> dict[str, str]:
    """All that decides what an image decodes to beside the specification: equal ones give equal pixels."""
    libraries = ("libjpeg_turbo", "webp", "libtiff", "avif")
    return {
        "revision": REVISION,
        "pillow": PIL.__version__,
        **{name: version for name in libraries if (version := features.version(name))},
        **(_heif_versions() if "HEIF" in readable() else {}),
        **({"pillow_jxl": _version("pillow-jxl-plugin")} if "JXL" in readable() else {}),
    }


def image_path_text() -> str:
    """`image_path` in a line, for a person and to compare."""
    return ", ".join(f"{name} {version}" for name, version in image_path().items())


def differences(before: dict[str, str], now: dict[str, str]) -> str:
    """Between two image paths, for a person: `pillow 13.0.0, not 12.3.0`. Empty where there is none."""
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(f"{name} {now.get(name, 'none')}, not {before.get(name, 'none')}" for name in changed)


def _register_heif() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    # With thumbnails, `draft` would give the embedded one in the image's place.
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return True


def _register_jxl() -> bool:
    try:
        from pillow_jxl import JpegXLImagePlugin
    except ImportError:
        return False
    JpegXLImagePlugin.DECODE_THREADS = 1
    return True


def _heif_versions() -> dict[str, str]:
    import pillow_heif

    decoders = ", ".join(pillow_heif.libheif_info()["decoders"].values())
    return {
        "pillow_heif": pillow_heif.__version__,
        "libheif": pillow_heif.libheif_version(),
        "heif_decoders": decoders,
    }


def _version(package: str) -> str:
    """pillow-jxl-plugin brings its own libjxl, and tells no other version."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
