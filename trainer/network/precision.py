"""Where and how precisely to compute: float32 on a CPU, mixed precision on a CUDA device."""

from dataclasses import dataclass

import torch

from fovea.errors import Unavailable
from fovea.malloc import keep_freed_memory
from trainer.options import Device


@dataclass(frozen=True)
class Precision:
    """A device with the dtype that its matrix products use."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def scaler(self) -> torch.amp.GradScaler:
        """Scales losses where float16 would lose small gradients; elsewhere it does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    @property
    def memory_format(self) -> torch.memory_format:
        """Tensor cores want channels last; on a CPU it was seen to be no faster."""
        return torch.channels_last if self.device.type == "cuda" else torch.contiguous_format


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


def choose_precision(device: Device, threads: int) -> Precision:
    """Sets up memory and torch's threads too. Raises Unavailable for `cuda` without a CUDA device."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("--device cuda: there is no CUDA device (use --device cpu, or auto)")
    if device == "cpu" or not torch.cuda.is_available():
        return Precision(torch.device("cpu"), torch.float32)
    half = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # Calibration and the release gate compare in float32, so float32 has to mean it.
    torch.backends.cudnn.allow_tf32 = False
    return Precision(torch.device("cuda"), half)
