"""From the samples of an image, of whatever kind, to RGB of 8 bits."""

import numpy as np
from PIL import Image


def as_rgb(image: Image.Image) -> Image.Image:
    """Transparency comes onto white, 16 bits and floats are scaled to 8."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        page = Image.new("RGB", image.size, "white")
        page.paste(rgba, mask=rgba.getchannel("A"))
        return page
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey (modes I and I;16) is scaled to 8; float grey is taken as [0, 1] or as [0, 255]."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    largest = 1.0 if image.mode == "F" and values.max() <= 1 else 255.0 if image.mode == "F" else 65535.0
    return Image.fromarray((values * (255 / largest)).clip(0, 255).round().astype(np.uint8))
