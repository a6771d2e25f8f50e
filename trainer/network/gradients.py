"""The gradients of one optimizer step: of its batch at once, or of the batch's parts one after another."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.network.precision import Precision
from trainer.ranks.group import ALONE, Part, Ranks


class Outcome(NamedTuple):
    """Scalars on the device, of the whole batch: the same on all ranks."""

    loss: Tensor
    accuracy: Tensor


def add_gradients(
    forward: Callable[[Tensor], Tensor],
    batch: tuple[Tensor, Tensor],
    prepare: Callable[[Tensor, Tensor, Part], tuple[Tensor, Tensor]],
    objective: Callable[[Tensor, Tensor], Tensor],
    precision: Precision,
    scaler: torch.amp.GradScaler,
    *,
    parts: int = 1,
    weigh: Callable[[Tensor], Tensor | int] = len,
    ranks: Ranks = ALONE,
) -> Outcome:
    """Adds to the parameters' gradients those of the batch's loss, as scaled.

    `batch` is targets int64 [n], and pixels uint8 [m, R, R, 3] of those that are the rank's; `prepare` makes
    the network's input and the objective's targets of a part of them, int64 [k] or shares float32
    [k, classes]. An objective is a mean over a part's images; `weigh` tells of targets int64 [k] what they
    count in it, so that the parts' sum, and the mean over the ranks, is the mean over the whole batch. What
    each rank has of each part is normalised by batch norm by itself.
    """
    pixels, targets = batch
    whole, world = weigh(targets), ranks.share.world
    divided = ranks.share.parts(len(targets), parts)
    losses, right, done = [], [], 0
    for part in divided:
        own = targets[part.own]
        images, wanted = prepare(pixels[done : done + len(own)], own, part)
        done += len(own)
        with nullcontext() if part is divided[-1] else ranks.keeping(forward):
            with precision.autocast(), ranks.noise("forward"):
                logits = forward(images)
                loss = objective(logits, wanted) * (weigh(own) / whole * world)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach().float())
        right.append(_right(logits.argmax(1), wanted))
    seen = torch.stack([torch.stack(losses).sum(), torch.stack(right).sum() * world / len(targets)])
    return Outcome(*ranks.mean(seen))


def _right(named: Tensor, targets: Tensor) -> Tensor:
    """How many of the classes that are named int64 [n] are right; of targets that are shares
    [n, classes], or 0 and 1 of labels, the named class's share counts: of several labels it is how often an
    image has the one that it is named first."""
    if targets.ndim > 1:
        return targets.gather(1, named[:, None]).sum()
    return (named == targets).sum()
