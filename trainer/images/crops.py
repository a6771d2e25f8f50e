"""Training images as serving would cut them."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from fovea.images.preprocess import Pixels
from fovea.images.spec import PreprocessSpec
from trainer.images.batches import Images


def as_served(images: Images, chosen: npt.NDArray[np.int64], spec: PreprocessSpec) -> Pixels:
    """uint8 [len(chosen), size, size, 3] of training images.

    The cache holds them whole, at the shorter side that serving resizes to; serving cuts the centre. Padded
    ones are larger there, and scaled down.
    """
    size, pixels = spec.size, images.pixels(chosen)
    if spec.fit == "pad":
        whole = (Image.fromarray(each) for each in pixels)
        small = (image.resize((size, size), Image.Resampling.BILINEAR) for image in whole)
        return np.stack([np.asarray(image) for image in small])
    top, left = (pixels.shape[1] - size) // 2, (pixels.shape[2] - size) // 2
    return np.ascontiguousarray(pixels[:, top : top + size, left : left + size])
