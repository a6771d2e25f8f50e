"""The gradients of one optimizer step: of its batch at once, or of the batch's parts one after another."""

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor

from trainer.network.precision import Precision

FEWEST: Final = 2
"""Images of a part: of one, batch norm has no statistics."""


class Outcome(NamedTuple):
    """Scalars on the device, of the whole batch."""

    loss: Tensor
    accuracy: Tensor


def add_gradients(
    forward: Callable[[Tensor], Tensor],
    batch: tuple[Tensor, Tensor],
    prepare: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    objective: Callable[[Tensor, Tensor], Tensor],
    precision: Precision,
    scaler: torch.amp.GradScaler,
    *,
    parts: int = 1,
    weigh: Callable[[Tensor], Tensor | int] = len,
) -> Outcome:
    """Adds to the parameters' gradients those of the batch's loss, as scaled.

    `batch` is pixels uint8 [n, R, R, 3] and targets int64 [n]; `prepare` makes the network's input and the
    objective's targets of a part of them, int64 [k] or shares float32 [k, classes]. An objective is a mean
    over a part's images; `weigh` tells of targets int64 [k] what they count in it, so that the parts' sum is
    the mean over the whole batch. Each part is normalised by batch norm by itself.
    """
    pixels, targets = batch
    count = min(parts, max(1, len(targets) // FEWEST))
    whole, losses, right = weigh(targets), [], []
    for some, own in zip(pixels.tensor_split(count), targets.tensor_split(count), strict=True):
        images, wanted = prepare(some, own)
        with precision.autocast():
            logits = forward(images)
            loss = objective(logits, wanted) * (weigh(own) / whole)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach().float())
        right.append(_right(logits.argmax(1), wanted))
    return Outcome(torch.stack(losses).sum(), torch.stack(right).sum() / len(targets))


def _right(named: Tensor, targets: Tensor) -> Tensor:
    """How many of the classes that are named int64 [n] are right; of targets that are shares
    [n, classes], the named class's share counts."""
    if targets.is_floating_point():
        return targets.gather(1, named[:, None]).sum()
    return (named == targets).sum()
