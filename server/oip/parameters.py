"""The parameters of a request: what they ask, and that they are of the type that the protocol says."""

import time
from collections.abc import Mapping

from fovea.oip import open_inference_pb2 as pb
from server.errors import FieldInvalid
from server.oip.aliases import quoted
from server.queue.priorities import Priority

Parameters = Mapping[str, pb.InferParameter]


def priority_of(parameters: Parameters, images: int) -> Priority:
    """`priority` as Triton counts it: 1 is the highest, 0 the default. Raises FieldInvalid."""
    level = _whole_number(parameters, "priority") or 0
    if not level:
        return Priority.INTERACTIVE if images == 1 else Priority.BULK
    return Priority.INTERACTIVE if level == 1 else Priority.BULK


def deadline_within(parameters: Parameters, deadline: float | None) -> float | None:
    """The earlier of the call's deadline and its `timeout`, in microseconds from now. Raises FieldInvalid."""
    timeout_us = _whole_number(parameters, "timeout")
    if not timeout_us:
        return deadline
    by_timeout = time.monotonic() + timeout_us / 1e6
    return by_timeout if deadline is None else min(deadline, by_timeout)


def classification_of(parameters: Parameters) -> int | None:
    """How many of the best classes an output is to be given as, None where it is not. Raises FieldInvalid."""
    count = _whole_number(parameters, "classification")
    if count == 0:
        raise FieldInvalid("classification", "classification must be at least 1, not 0")
    return count


def refuse_shared_memory(parameters: Parameters, tensor: str) -> None:
    """Raises FieldInvalid."""
    if any(name.startswith("shared_memory_") for name in parameters):
        instead = "send its data in raw_input_contents, and take outputs from raw_output_contents"
        raise FieldInvalid("parameters", f"{quoted(tensor)} cannot be in shared memory; {instead}")


def _whole_number(parameters: Parameters, name: str) -> int | None:
    """None where there is no such parameter. Looking it up by [] would add it to a protobuf map."""
    if name not in parameters:
        return None
    parameter = parameters[name]
    kind = parameter.WhichOneof("parameter_choice")
    if kind not in ("int64_param", "uint64_param"):
        raise FieldInvalid(name, f"{name} must be an int64_param, not {kind or 'empty'}")
    value = parameter.int64_param if kind == "int64_param" else parameter.uint64_param
    if value < 0:
        raise FieldInvalid(name, f"{name} must not be negative, as {value} is")
    return value
