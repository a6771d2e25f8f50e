"""Augmentation of a whole batch on its device: every image has its own crop, tilt, mirroring and light."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fovea.images.spec import Colour

WIDEST_ASPECT = 4 / 3
"""of a crop; less where crops are to be nearly whole, so that `min_crop` 1 cuts nothing"""


@dataclass(frozen=True)
class Augmentation:
    """How far images are changed."""

    size: int
    """side of the crop, in pixels"""
    min_crop: float
    """smallest share of the area that a crop keeps"""
    max_rotation: float
    """in degrees, to either side"""
    flip: bool
    max_warp: float = 0.0
    """how far perspective tilts a crop: opposite sides are seen as (1 - warp) to (1 + warp) at most"""
    max_lighting: float = 0.0
    """largest change of brightness, and of contrast, as a share of it"""
    reduced: float = 1.0
    """what images are scaled by first, as if they had been read for a smaller size"""
    pad_colour: Colour | None = None
    """of the bars beside images that were padded, as crops of them are; None where they were cropped"""

    def at(self, size: int) -> "Augmentation":
        """For a network that sees images of another size: of the same part of the image, as large."""
        return replace(self, size=size, reduced=self.reduced * size / self.size)


def augment(
    pixels: Tensor, augmentation: Augmentation, whole: int | None = None, rows: slice = slice(None)
) -> Tensor:
    """pixels uint8 [n, R, R, 3] -> float32 [n, size, size, 3] in [0, 255].

    They may be the `rows` of a batch of `whole`, whose images are then changed as if all of it were here.

    Crop, aspect ratio, rotation, mirroring and perspective are composed into one map an image, so the image
    is interpolated once; what lies outside is mirrored in. Random numbers come from torch's generator of the
    pixels' device.

    Of images that were padded a random part of the picture is laid between bars, as serving would lay it: in
    its own proportions. To the picture belongs what lies between bars of the padding's colour.
    """
    with torch.autocast(
        pixels.device.type, enabled=False
    ):  # coordinates in half precision would be pixels off
        chance = _Chance(len(pixels) if whole is None else whole, rows, pixels.device)
        colour = augmentation.pad_colour
        if colour is not None:
            boxes = pictures(pixels, colour)
            spread = pixels if augmentation.reduced == 1 else _spread(pixels, boxes)
            lit = _letterboxed(_reduce(spread, augmentation.reduced), boxes, augmentation, colour, chance)
        else:
            images = _reduce(pixels, augmentation.reduced)
            grid = _grid(_random_maps(augmentation, chance), augmentation.size)
            cropped = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
            lit = _light(cropped, augmentation.max_lighting, chance) if augmentation.max_lighting else cropped
    return lit.permute(0, 2, 3, 1)


def random_maps(count: int, augmentation: Augmentation, device: torch.device) -> Tensor:
    """float32 [count, 3, 3]: homographies from output to input coordinates, both in [-1, 1]."""
    return _random_maps(augmentation, _Chance(count, slice(None), device))


@dataclass(frozen=True)
class _Chance:
    """Draws for all images of a batch what some of them need."""

    whole: int
    rows: slice
    device: torch.device

    def uniform(self, low: float, high: float) -> Tensor:
        """float32 [n], a number for each of the rows."""
        return (low + (high - low) * torch.rand(self.whole, device=self.device))[self.rows]


def _random_maps(augmentation: Augmentation, chance: _Chance) -> Tensor:
    crops = _random_crops(augmentation, chance)
    return _maps(crops, crops.width, crops.height, crops.centre_x, crops.centre_y, augmentation, chance)


class _Crops(NamedTuple):
    """float32 [n] each: sides as shares of the image's, centres from -1 to 1, angles in radians."""

    width: Tensor
    height: Tensor
    angle: Tensor
    centre_x: Tensor
    centre_y: Tensor
    mirror: Tensor
    """-1 or 1"""


def _random_crops(augmentation: Augmentation, chance: _Chance) -> _Crops:
    area = chance.uniform(augmentation.min_crop, 1)
    widest = math.log(min(WIDEST_ASPECT, 1 / augmentation.min_crop))
    aspect = chance.uniform(-widest, widest).exp()
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    angle = chance.uniform(-math.radians(augmentation.max_rotation), math.radians(augmentation.max_rotation))
    centre_x = chance.uniform(-1, 1) * (1 - width)
    centre_y = chance.uniform(-1, 1) * (1 - height)
    mirror = torch.where(chance.uniform(0, 1) < (0.5 if augmentation.flip else 0), -1.0, 1.0)
    return _Crops(width, height, angle, centre_x, centre_y, mirror)


def _maps(
    crops: _Crops,
    width: Tensor,
    height: Tensor,
    x: Tensor,
    y: Tensor,
    augmentation: Augmentation,
    chance: _Chance,
) -> Tensor:
    """[n, 3, 3]: of crops with these half sides about these centres, in the image's coordinates."""
    angle, mirror, zero, one = crops.angle, crops.mirror, torch.zeros_like(x), torch.ones_like(x)
    rows = [
        torch.stack([mirror * width * angle.cos(), -height * angle.sin(), x], 1),
        torch.stack([mirror * width * angle.sin(), height * angle.cos(), y], 1),
        torch.stack([zero, zero, one], 1),
    ]
    affine = torch.stack(rows, 1)
    tilt = augmentation.max_warp
    return affine @ _perspectives(tilt, chance) if tilt else affine


def _perspectives(max_warp: float, chance: _Chance) -> Tensor:
    """float32 [n, 3, 3]: tilted about both axes, and as much larger as keeps the middles of all four
    sides inside."""
    tilt_x, tilt_y = (chance.uniform(-max_warp, max_warp) for _ in range(2))
    scale = 1 - torch.maximum(tilt_x.abs(), tilt_y.abs())
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    rows = [
        torch.stack([scale, zero, zero], 1),
        torch.stack([zero, scale, zero], 1),
        torch.stack([tilt_x, tilt_y, one], 1),
    ]
    return torch.stack(rows, 1)


def pictures(pixels: Tensor, pad_colour: Colour) -> Tensor:
    """Where the pictures lie in padded images uint8 [n, R, R, 3]: float32 [n, 4], centre (x, y) and half
    sides (x, y), in coordinates from -1 to 1. In one direction each goes from side to side."""
    side = pixels.shape[1]
    differs = (pixels != torch.tensor(pad_colour, dtype=torch.uint8, device=pixels.device)).any(3)
    left, right = _ends(differs.any(1))
    top, bottom = _ends(differs.any(2))
    is_wide = right - left >= bottom - top
    left, right = torch.where(is_wide, 0, left), torch.where(is_wide, side, right)
    top, bottom = torch.where(is_wide, top, 0), torch.where(is_wide, bottom, side)
    ends = [left + right - side, top + bottom - side, right - left, bottom - top]
    return torch.stack(ends, 1).float() / side


def _ends(there: Tensor) -> tuple[Tensor, Tensor]:
    """bool [n, R] -> the first that is there, and the one behind the last; all where none is."""
    marked = there.to(torch.uint8)
    return marked.argmax(1), there.shape[1] - marked.flip(1).argmax(1)


def _letterboxed(
    images: Tensor, boxes: Tensor, augmentation: Augmentation, pad_colour: Colour, chance: _Chance
) -> Tensor:
    """images [n, 3, R, R] with their pictures' places [n, 4] -> [n, 3, size, size]."""
    crops = _random_crops(augmentation, chance)
    x, y, half_width, half_height = boxes.unbind(1)
    width, height = half_width * crops.width, half_height * crops.height
    longer = torch.maximum(width, height)
    centre_x, centre_y = x + half_width * crops.centre_x, y + half_height * crops.centre_y
    maps = _maps(crops, longer, longer, centre_x, centre_y, augmentation, chance)
    grid = _mirrored_into(_grid(maps, augmentation.size), boxes, images.shape[2])
    cropped = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    lit = _light(cropped, augmentation.max_lighting, chance) if augmentation.max_lighting else cropped
    bars = torch.tensor(pad_colour, dtype=lit.dtype, device=lit.device)[None, :, None, None]
    return torch.where(_inside(width / longer, height / longer, augmentation.size), lit, bars)


def _inside(width: Tensor, height: Tensor, size: int) -> Tensor:
    """[n] each, as shares of the whole -> bool [n, 1, size, size]: which pixels lie in such a rectangle in
    the middle, those about the centre in any case."""
    centres, least = _centres(size, width.device).abs(), 1.01 / size
    columns, rows = (centres <= share.clamp(min=least)[:, None] for share in (width, height))
    return columns[:, None, None, :] & rows[:, None, :, None]


def _mirrored_into(grid: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Coordinates [n, h, w, 2] outside a picture as those inside that they mirror, at its edge's pixels'
    centres at most, so that no bar is seen."""
    centres, halves = boxes[:, None, None, :2], boxes[:, None, None, 2:]
    places = (grid - centres) / halves
    mirrored = 1 - ((places + 1).remainder(4) - 2).abs()
    most = (halves - 1 / side).clamp(min=0)
    return centres + (mirrored * halves).clamp(-most, most)


def _spread(pixels: Tensor, boxes: Tensor) -> Tensor:
    """[n, R, R, 3] with the pictures' places [n, 4] -> as many whose bars have the colours of the picture's
    edge: a pixel of a smaller image may stand for some of both."""
    side = pixels.shape[1]
    ends = ((boxes[:, :2] + sign * boxes[:, 2:] + 1) * side / 2 for sign in (-1, 1))
    low, high = (end.round().long()[:, :, None] for end in ends)
    columns, rows = torch.arange(side, device=pixels.device).clamp(low, high - 1).unbind(1)
    images = torch.arange(len(pixels), device=pixels.device)[:, None, None]
    return pixels[images, rows[:, :, None], columns[:, None, :]]


def _reduce(pixels: Tensor, factor: float) -> Tensor:
    """uint8 [n, R, R, 3] -> float32 [n, 3, r, r] of a smaller side, each pixel the mean of those that it
    stands for."""
    images = pixels.permute(0, 3, 1, 2).float()
    if factor == 1:
        return images
    side = max(1, round(images.shape[2] * factor))
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


def _grid(maps: Tensor, size: int) -> Tensor:
    """float32 [n, size, size, 2]: where each output pixel's centre lies in the input, for grid_sample."""
    centres = _centres(size, maps.device)
    x, y = centres[None, None, :], centres[None, :, None]
    across, down, depth = (
        maps[:, row, 0, None, None] * x + maps[:, row, 1, None, None] * y + maps[:, row, 2, None, None]
        for row in range(3)
    )
    return torch.stack([across / depth, down / depth], 3)


def _centres(size: int, device: torch.device) -> Tensor:
    """Of `size` pixels, from -1 to 1."""
    return (2 * torch.arange(size, device=device) + 1) / size - 1


def _light(images: Tensor, largest: float, chance: _Chance) -> Tensor:
    """Contrast about each image's mean, then brightness; images [n, 3, h, w] in [0, 255] stay there."""
    contrast, brightness = (chance.uniform(1 - largest, 1 + largest).view(-1, 1, 1, 1) for _ in range(2))
    means = images.mean((1, 2, 3), keepdim=True)
    return (((images - means) * contrast + means) * brightness).clamp(0, 255)
