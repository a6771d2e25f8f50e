"""What a diagnostic or another process puts back: a network, its optimizer, the random generators."""

import copy
import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor, nn


class GeneratorStates(TypedDict):
    """Of the random generators, in types that load safely from a file."""

    python: list[Any]
    """as random.getstate tells it"""
    numpy: list[Any]
    """as its legacy get_state does, the keys as a tensor"""
    torch: Tensor
    cuda: list[Tensor]
    """of the device in use, if there is one; in older versions' files of each, that one first"""


@contextmanager
def untouched(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Whatever is done inside is undone, also after an exception: parameters (with their gradients and
    requires_grad), buffers, train/eval modes, the optimizer, and the random generators. Costs one copy of
    the state in memory."""
    values = [(tensor, tensor.detach().clone()) for tensor in _tensors(model)]
    flags = [(p, p.requires_grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    optimizer_state, generators = copy.deepcopy(optimizer.state_dict()), generator_states()
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in values:
                tensor.copy_(value)
        for parameter, requires_grad, gradient in flags:
            parameter.requires_grad, parameter.grad = requires_grad, gradient
        for module, training in modes:
            module.training = training
        optimizer.load_state_dict(optimizer_state)
        set_generators(generators)


def generator_states() -> GeneratorStates:
    """As they are now."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
    }


def set_generators(states: GeneratorStates) -> None:
    """That of a CUDA device goes to the one in use, which another rank's is not."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and states["cuda"]:
        torch.cuda.set_rng_state(states["cuda"][0])


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    """Buffers that a state dict leaves out are among them."""
    return itertools.chain(model.parameters(), model.buffers())
