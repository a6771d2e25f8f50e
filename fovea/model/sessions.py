"""onnxruntime sessions, opened the same way by whoever runs a model: release gate, server and scorer."""

import functools
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# onnxruntime reports its use to its makers unless it is told not to before it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from fovea.cpus import available_cpus
from fovea.errors import BundleInvalid, SettingsInvalid, Unavailable
from fovea.model.providers import CPU, CUDA, Provider

__all__ = ["CPU", "CUDA", "Provider", "SessionOptions", "open_session", "ort"]

logger = logging.getLogger(__name__)

_OF_THE_MACHINE: Final = re.compile("alloc|out of memory|CUDA failure|CUDA_PATH", re.IGNORECASE)
"""What onnxruntime says when there is no room, or no device, for a model that may be good."""

_EXECUTION_PROVIDERS: Final = {"cuda": CUDA, "cpu": CPU}


@dataclass(frozen=True)
class SessionOptions:
    """How a session uses the machine."""

    threads: int | None = None
    """Of one operation on the CPU; by default, as many as the cores that this process may use."""
    spinning: bool = False
    """Threads that wait for each other within a run do so on the core, not asleep. Faster for a run that has
    the machine for itself; otherwise it starves whoever shares the cores, an image decoder for one."""
    gpu_memory_bytes: int | None = None
    """The most that onnxruntime takes of a GPU's memory for this session."""
    is_optimized: bool = False
    """The model is as `fovea.model.shared_weights` wrote it."""
    exact_sums: bool = False
    """Products of int8 are summed by kernels that cannot saturate, which may be slower ones: see
    `fovea.model.saturation`."""
    shares_arena: bool = False
    """On a CPU, what a run needs comes from one arena of this process, where else each session has its own.
    For several sessions of which one runs at a time. It outlives them."""


def open_session(
    model: Path, provider: Provider, options: SessionOptions | None = None
) -> ort.InferenceSession:
    """A session on the provider, which is the first of its `get_providers()`.

    `auto` is CUDA where it comes up, otherwise the CPU.
    Raises Unavailable when the provider does not come up, BundleInvalid when the file is no ONNX model.
    """
    options = options or SessionOptions()
    if options.threads is not None and options.threads < 1:
        raise SettingsInvalid(f"threads must be at least 1, not {options.threads}")
    if provider != "auto":
        return _open_on(model, _EXECUTION_PROVIDERS[provider], options)
    if CUDA in ort.get_available_providers():
        try:
            return _open_on(model, CUDA, options)
        except Unavailable as error:
            logger.warning("%s; provider auto takes the CPU", error)
    return _open_on(model, CPU, options)


def _open_on(model: Path, provider: str, options: SessionOptions) -> ort.InferenceSession:
    available = ort.get_available_providers()
    if provider not in available:
        raise Unavailable(
            f"this onnxruntime has no {provider} (it has {', '.join(available)}); "
            "CUDA comes with the extra fovea-vision[serve-gpu]"
        )
    if provider == CUDA:
        ort.preload_dlls()
    settings = _cuda_options(options) if provider == CUDA else {}
    chosen = ort_options(options)
    if options.shares_arena and provider == CPU:
        _register_arena()
        chosen.add_session_config_entry("session.use_env_allocators", "1")
    try:
        session = ort.InferenceSession(model, chosen, providers=[(provider, settings)])
    except Exception as error:  # onnxruntime's own types are not public
        reason = str(error).splitlines()[0]
        if _OF_THE_MACHINE.search(reason):
            raise Unavailable(f"{model}: onnxruntime cannot load it now: {reason}") from error
        raise BundleInvalid(f"{model}: onnxruntime cannot load it: {reason}") from error
    if session.get_providers()[0] != provider:
        fallback = session.get_providers()[0]
        raise Unavailable(f"{provider} did not come up (onnxruntime fell back to {fallback})")
    return session


@functools.cache
def _register_arena() -> None:
    """It grows by what is asked for, where a session's own one doubles."""
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    same_as_requested, default = 1, -1
    growth = {
        "max_mem": 0,  # as much as there is
        "arena_extend_strategy": same_as_requested,
        "initial_chunk_size_bytes": default,
        "max_dead_bytes_per_chunk": default,
    }
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(growth))


def ort_options(chosen: SessionOptions) -> ort.SessionOptions:
    """onnxruntime's own."""
    options = ort.SessionOptions()
    if chosen.is_optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = chosen.threads or available_cpus()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if chosen.spinning else "0")
    # Without this, threads would go on spinning for a while when a run has ended.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if chosen.exact_sums:  # weights become unsigned, for which there are no others than exact kernels
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _cuda_options(chosen: SessionOptions) -> dict[str, Any]:
    options: dict[str, Any] = {
        # The batch sizes are few and each is warmed up, so the search is paid for once.
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "do_copy_in_default_stream": "1",
        # By default the arena grows by powers of two, and never shrinks.
        "arena_extend_strategy": "kSameAsRequested",
    }
    if chosen.gpu_memory_bytes is not None:
        options["gpu_mem_limit"] = str(chosen.gpu_memory_bytes)
    return options
