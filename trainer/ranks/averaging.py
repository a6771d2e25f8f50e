"""How gradients are averaged where the sum must not depend on where in torch's buckets they lie.

gloo adds the ranks' numbers in an order that differs from place to place, and torch lays the buckets out anew
after the first step. So a training of three ranks or more that goes on in new processes would end with other
last bits.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import GradBucket  # type: ignore[attr-defined]


def average_in_rank_order(world: int, bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """A communication hook of DistributedDataParallel. Each rank adds up a part of the bucket and sends the
    others the mean: as many bytes as a ring sends, 2 (world - 1) / world of the gradients'."""
    flat = bucket.buffer()
    size = -(-len(flat) // world)
    sent = flat.new_zeros(world * size)
    sent[: len(flat)] = flat
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent)
    total, *others = received.view(world, size)
    for other in others:
        total += other
    dist.all_gather(list(sent.view(world, size)), total / world)
    flat.copy_(sent[: len(flat)])
    averaged: torch.futures.Future[Tensor] = torch.futures.Future()
    averaged.set_result(flat)
    return averaged
