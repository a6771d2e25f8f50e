"""Leave no trace: whatever is done inside `untouched` to a model, its optimizer and the random generators
is undone."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def untouched(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Restores parameters, buffers, gradients, train/eval modes, the optimizer, and the generators of python,
    numpy, torch and CUDA, also after an exception. Costs one copy of the state in memory."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    optimizer_state = copy.deepcopy(optimizer.state_dict())
    generators = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    on_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        model.load_state_dict(state)
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient
        for module, training in modes:
            module.training = training
        optimizer.load_state_dict(optimizer_state)
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.set_rng_state(generators[2])
        if on_cuda:
            torch.cuda.set_rng_state_all(on_cuda)
