"""Where and how precisely to compute: float32 on a CPU, mixed precision on a CUDA device."""

from dataclasses import dataclass
from typing import Final

import torch

from fovea.errors import Unavailable
from fovea.malloc import keep_freed_memory
from trainer.options import AutoOrSwitch, Device

LAST_FROM_SIZE: Final = 128
"""Side of the images from which a CPU computes faster with channels last; at 32 pixels it is slower."""


@dataclass(frozen=True)
class Precision:
    """A device with the dtype that its matrix products use."""

    device: torch.device
    dtype: torch.dtype
    memory_format: torch.memory_format = torch.contiguous_format
    """of the network's weights, and so of what it computes"""

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def scaler(self) -> torch.amp.GradScaler:
        """Scales losses where float16 would lose small gradients; elsewhere it does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)


def clip_gradients(
    optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, max_norm: float | None
) -> None:
    """To a norm of `max_norm` over all, as they are without the scaler's factor; None leaves them alone."""
    if max_norm is None:
        return
    scaler.unscale_(optimizer)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, max_norm)


def check_compiler(device: torch.device) -> None:
    """Raises Unavailable where torch.compile does not work: now, and not after the range test."""
    try:
        torch.compile(lambda values: values + 1)(torch.zeros(2, device=device))
    except Exception as error:  # without a C++ compiler or Triton it raises a dozen types
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise Unavailable(f"--compile: torch.compile does not work here: {reason}") from error


def choose_precision(
    device: Device,
    threads: int,
    channels_last: AutoOrSwitch = "auto",
    *,
    size: int = 224,
    local_rank: int | None = None,
) -> Precision:
    """Sets up memory and torch's threads too. Of several ranks, each takes a CUDA device of its own.

    Channels are last by themselves on a CUDA device, whose tensor cores want them so, and on a CPU for images
    of `size` LAST_FROM_SIZE pixels or more. Raises Unavailable for `cuda` without a CUDA device, or without
    one for the rank.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("--device cuda: there is no CUDA device (use --device cpu, or auto)")
    if device == "cpu" or not torch.cuda.is_available():
        return Precision(
            torch.device("cpu"), torch.float32, _memory_format(channels_last, size >= LAST_FROM_SIZE)
        )
    half = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # Calibration and the release gate compare in float32, so float32 has to mean it.
    torch.backends.cudnn.allow_tf32 = False
    return Precision(_own_device(local_rank), half, _memory_format(channels_last, True))


def _own_device(local_rank: int | None) -> torch.device:
    if local_rank is None:
        return torch.device("cuda")
    if local_rank >= torch.cuda.device_count():
        raise Unavailable(
            f"rank {local_rank} of this machine has no CUDA device of its own: there are "
            f"{torch.cuda.device_count()} (start fewer ranks, or use --device cpu)"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def _memory_format(channels_last: AutoOrSwitch, by_itself: bool) -> torch.memory_format:
    is_last = by_itself if channels_last == "auto" else channels_last == "on"
    return torch.channels_last if is_last else torch.contiguous_format
