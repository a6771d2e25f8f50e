"""How alike two pictures are once one is laid upon the other: aligned, then compared in colour and detail."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.images.hashes import SPANS, Comparison

COARSE, FINE = 32, 64
"""Pixels a side of pictures that are aligned, and of those that are compared closely."""
SKETCH_STEPS, COARSE_STEPS, FINE_STEPS = 2, 3, 2
LARGEST_STEP: Final = 0.1
"""Of an alignment, in half sides."""
DETAIL: Final = 5
"""Side of the square whose mean is taken off, so that detail is left, in pixels."""
LARGEST_GAIN: Final = 1.5
"""By which a copy may have more contrast, or less: another exposure of the same scene is no copy."""


def first_guess(comparison: Comparison) -> tuple[float, float, float, float]:
    """Where the parts of a comparison say that a pixel of the second picture lies in the first, as that is
    turned: scales and shifts (x, y), in coordinates from -1 to 1."""
    part, other = comparison.view.part, comparison.other
    across, down = _guess(part.columns, other.columns), _guess(part.rows, other.rows)
    return across[0], down[0], across[1], down[1]


def _guess(part: int, other: int) -> tuple[float, float]:
    (low, high), (other_low, other_high) = SPANS[part], SPANS[other]
    scale = (high - low) / (other_high - other_low)
    return scale, low + high - 1 - scale * (other_low + other_high - 1)


def sketch_likeness(first: Tensor, second: Tensor, place: Tensor) -> Tensor:
    """float32 [n], of grey pictures [n, 1, S, S], by their light alone, which costs little."""
    laid, inside = _laid(first, place)
    return _cosine(_centred(laid, inside), _centred(second, inside))


def likeness(first: Tensor, second: Tensor, place: Tensor) -> Tensor:
    """float32 [n]: 1 for equal pictures, float32 [n, C, S, S], where `place` [n, 4] is aligned."""
    laid, inside = _laid(first, place)
    one, two = _centred(laid, inside), _centred(second, inside)
    details = _cosine(_detail(laid) * inside, _detail(second) * inside)
    contrast = _spread(one) / _spread(two).clamp(min=1e-3)
    is_exposed_alike = (contrast < LARGEST_GAIN) & (contrast > 1 / LARGEST_GAIN)
    return torch.minimum(_cosine(one, two), details) * is_exposed_alike


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
        system = [along_x * x, along_y * y, along_x, along_y, value, torch.ones_like(value)]
        equations = torch.cat(system, 1).flatten(2)
        weighted = equations * inside.flatten(2)
        square = weighted @ equations.transpose(1, 2)
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
    them. Interpolated along one axis and then the other, as matrix products: in half the time of
    `grid_sample`."""
    count, channels, side = pictures.shape[:3]
    across, is_across = _weights(place[:, 0], place[:, 2], side)
    down, is_down = _weights(place[:, 1], place[:, 3], side)
    rows = torch.bmm(pictures.reshape(count, channels * side, side), across.transpose(1, 2))
    laid = torch.matmul(down[:, None], rows.view(pictures.shape))
    return laid, (is_down[:, :, None] & is_across[:, None, :])[:, None].float()


def _weights(scale: Tensor, shift: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """[n, S, S]: what of each pixel of a line becomes each pixel of the laid one; and bool [n, S]: where the
    line has something."""
    places = torch.arange(side)
    laid = scale[:, None] * ((2 * places + 1) / side - 1) + shift[:, None]
    pixels = (((laid + 1) * side - 1) / 2).clamp(0, side - 1)
    return (1 - (pixels[:, :, None] - places).abs()).clamp(min=0), laid.abs() <= 1 + 1 / side


def _detail(pictures: Tensor) -> Tensor:
    """Less the means of squares, whose pixels beyond the edge are those at it."""
    side, edge = pictures.shape[2], DETAIL // 2
    blur = F.pad(torch.eye(side)[None], (edge, edge), mode="replicate").unfold(2, DETAIL, 1).mean(3)[0].T
    return pictures - blur @ pictures @ blur.T


def _spread(centred: Tensor) -> Tensor:
    return centred.square().flatten(1).mean(1).sqrt()


def _centred(pictures: Tensor, inside: Tensor) -> Tensor:
    mean = (pictures * inside).mean((1, 2, 3)) / inside.mean((1, 2, 3)).clamp(min=1e-6)
    return (pictures - mean[:, None, None, None]) * inside


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    one, two = first.flatten(1), second.flatten(1)
    lengths = (one.square().sum(1) * two.square().sum(1)).sqrt()
    return (one * two).sum(1) / lengths.clamp(min=1e-6)
