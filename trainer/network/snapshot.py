"""Leave no trace: whatever is done inside `untouched` to a model, its optimizer and the random generators
is undone."""

import copy
import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def untouched(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Restores parameters (with their gradients and requires_grad), buffers, train/eval modes, the
    optimizer, and the generators of python, numpy, torch and CUDA, also after an exception. Costs one copy
    of the state in memory."""
    values = [(tensor, tensor.detach().clone()) for tensor in _tensors(model)]
    flags = [(p, p.requires_grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    optimizer_state = copy.deepcopy(optimizer.state_dict())
    generators = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    on_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
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
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.set_rng_state(generators[2])
        if on_cuda:
            torch.cuda.set_rng_state_all(on_cuda)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    """Buffers that a state dict leaves out are among them."""
    return itertools.chain(model.parameters(), model.buffers())
