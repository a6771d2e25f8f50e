"""A call as it is answered, and the line in the log that some get."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fovea.v1 import classify_pb2 as pb
from server.models.model import Classified

logger = logging.getLogger("server.access_log")  # a name of its own, that lines of calls can be told by


class Trace(Protocol):
    """The span of a call; see `call_traces`."""

    @property
    def trace_id(self) -> str:
        """In hexadecimal digits, as W3C writes it."""

    @property
    def exemplar(self) -> dict[str, str] | None:
        """For a histogram; None of a trace that nobody keeps."""

    def note(self, response: pb.ClassifyResponse) -> None:
        """One more of the call's images was answered."""

    def note_all(self, model: str, images: Sequence[Classified]) -> None:
        """All of them were, by the model of this name."""

    def end(self, call: "Call", code: str, error: Exception | None) -> None:
        """The call has; `code` is gRPC's."""


@dataclass(slots=True)
class Call:
    """A call that is being answered, and what is known of it so far."""

    method: str
    request_id: str
    peer: Callable[[], str]
    """gRPC's own words for where it comes from."""
    caller: str = ""
    """The name of its token, where calls have one."""
    images: int = 0
    version: int = 0
    """Of the model that answered; 0 when none did."""
    batch_size: int = 0
    """Of the largest batch that one of its images was in."""
    started: float = field(default_factory=time.monotonic)
    trace: Trace | None = None
    """Where there are any."""


def log_call(level: int, call: Call, code: str, seconds: float) -> None:
    """Writes its line."""
    logger.log(level, "call", extra=_facts(call, code, seconds))


def _facts(call: Call, code: str, seconds: float) -> dict[str, object]:
    caller = {"caller": call.caller} if call.caller else {}
    trace = {"trace_id": call.trace.trace_id} if call.trace else {}
    return {
        "method": call.method,
        "code": code,
        "ms": round(seconds * 1000, 3),
        "request_id": call.request_id,
        "peer": address_of(call.peer()),
        **caller,
        "images": call.images,
        "model_version": call.version,
        "batch_size": call.batch_size,
        **trace,
    }


def address_of(peer: str) -> str:
    """`ipv4:10.0.0.7:51234` -> `10.0.0.7`; the port tells nobody anything."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return kind
    address = rest.rpartition(":")[0]
    return address.replace("%5B", "").replace("%5D", "").strip("[]")
