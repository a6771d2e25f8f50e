"""How alike two pictures are once one is laid upon the other: aligned, then compared in colour and detail."""

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.images.hashes import SPANS, Comparison

COARSE, FINE = 32, 64
"""Pixels a side of the pictures that are aligned, and of those that are compared."""
COARSE_STEPS, FINE_STEPS = 5, 2
LARGEST_STEP: Final = 0.1
"""Of an alignment, in half sides."""
DETAIL: Final = 5
"""Side of the square whose mean is taken off, so that detail is left, in pixels."""
LARGEST_GAIN: Final = 1.5
"""By which a copy may have more contrast, or less: another exposure of the same scene is no copy."""


class Likeness(NamedTuple):
    """float32 [n] each."""

    alike: Tensor
    """1 for equal pictures; the lesser of the correlations of all colours and of the detail, 0 where the
    contrast differs by half or more"""
    sketchy: Tensor
    """the same of unaligned pictures of 16 x 16 grey pixels, which costs little"""


def first_guess(comparison: Comparison) -> tuple[float, float, float, float]:
    """Where the parts of a comparison say that a pixel of the second picture lies in the first: scales and
    shifts (x, y), in coordinates from -1 to 1."""
    across = _guess(comparison.part.columns, comparison.other.columns, comparison.mirrored)
    down = _guess(comparison.part.rows, comparison.other.rows, mirrored=False)
    return across[0], down[0], across[1], down[1]


def _guess(part: int, other: int, mirrored: bool) -> tuple[float, float]:
    (low, high), (other_low, other_high) = SPANS[part], SPANS[other]
    scale = (high - low) / (other_high - other_low) * (-1 if mirrored else 1)
    return scale, low + high - 1 - scale * (other_low + other_high - 1)


def sketch_likeness(first: Tensor, second: Tensor, guess: Tensor) -> Tensor:
    """pictures uint8 [n, 3, S, S] at 16 x 16, as the guess [n, 4] lays the first upon the second."""
    first, second = (F.avg_pool2d(p.float().mean(1, keepdim=True), p.shape[2] // 16) for p in (first, second))
    laid, inside = _laid(first, guess)
    return _correlation(laid, second, inside)


def likeness(first: Tensor, second: Tensor, place: Tensor) -> Tensor:
    """float32 [n]: 1 for equal pictures, float32 [n, 3, S, S], where `place` [n, 4] is aligned."""
    laid, inside = _laid(first, place)
    colours = _correlation(laid, second, inside)
    details = _correlation(_detail(laid), _detail(second), inside, centred=False)
    contrast = _spread(laid, inside) / _spread(second, inside).clamp(min=1e-3)
    is_exposed_alike = (contrast < LARGEST_GAIN) & (contrast > 1 / LARGEST_GAIN)
    return torch.minimum(colours, details) * is_exposed_alike


def align(first: Tensor, second: Tensor, guess: Tensor, steps: int) -> Tensor:
    """Scales and shifts [n, 4] by which the first of each pair of grey pictures [n, 1, S, S] fits the second
    best, from the guess on: Gauss and Newton's steps for them, a gain and an offset together (Lucas and
    Kanade 1981)."""
    side, place = first.shape[2], guess.clone()
    centres = (2 * torch.arange(side) + 1) / side - 1
    x, y = centres[None, None, None, :], centres[None, None, :, None]
    across, down = _slopes(first)
    for _ in range(steps):
        laid, inside = _laid(torch.cat([first, across, down], 1), place)
        value, along_x, along_y = torch.split(laid, 1, 1)
        columns = [along_x * x, along_y * y, along_x, along_y, value, torch.ones_like(value)]
        system = torch.cat([column.flatten(1)[:, :, None] for column in columns], 2)
        weighted = (system * inside.flatten(1)[:, :, None]).transpose(1, 2)
        square = weighted @ system
        # One level squared a pixel: what a flat picture does not say stays as it was guessed.
        square = square + torch.eye(6) * (1 + 1e-6 * square.diagonal(dim1=1, dim2=2).mean(1)[:, None, None])
        solved = torch.linalg.solve(square, weighted @ second.flatten(1)[:, :, None])[:, :, 0]
        step = solved[:, :4] / solved[:, 4:5].clamp(min=0.3)
        place = place + step.clamp(-LARGEST_STEP, LARGEST_STEP)
    return place


def _slopes(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Change across and down, for a half side."""
    padded, half = F.pad(pictures, (1, 1, 1, 1), mode="replicate"), pictures.shape[2] / 4
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    return across * half, down * half


def _laid(pictures: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """The pictures as `place` lays them upon others, and float [n, 1, S, S]: 1 where there is something of
    them."""
    maps = torch.zeros(len(place), 2, 3)
    maps[:, 0, 0], maps[:, 1, 1], maps[:, :, 2] = place[:, 0], place[:, 1], place[:, 2:]
    grid = F.affine_grid(maps, list(pictures.shape), align_corners=False)
    laid = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return laid, (grid.abs() <= 1 + 1 / pictures.shape[3]).all(3)[:, None].float()


def _detail(pictures: Tensor) -> Tensor:
    edge = DETAIL // 2
    return pictures - F.avg_pool2d(F.pad(pictures, (edge,) * 4, mode="replicate"), DETAIL, 1)


def _spread(pictures: Tensor, inside: Tensor) -> Tensor:
    return (_centred(pictures, inside) ** 2).flatten(1).mean(1).sqrt()


def _centred(pictures: Tensor, inside: Tensor) -> Tensor:
    mean = (pictures * inside).mean((1, 2, 3)) / inside.mean((1, 2, 3)).clamp(min=1e-6)
    return (pictures - mean[:, None, None, None]) * inside


def _correlation(first: Tensor, second: Tensor, inside: Tensor, *, centred: bool = True) -> Tensor:
    one, two = (_centred(p, inside) if centred else p * inside for p in (first, second))
    lengths = (one.flatten(1).square().sum(1) * two.flatten(1).square().sum(1)).sqrt()
    return (one * two).flatten(1).sum(1) / lengths.clamp(min=1e-6)
