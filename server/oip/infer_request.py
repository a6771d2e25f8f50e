"""A ModelInfer request whose tensors' data lies where it was received: protobuf would copy it twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fovea.oip import open_inference_pb2 as pb
from server.calls.message_fields import take_out

Content = bytes | memoryview

_RAW: Final = pb.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What a caller sent."""

    message: pb.ModelInferRequest
    """Without `raw_input_contents`."""
    raw: Sequence[Content]
    """These."""

    @property
    def id(self) -> str:
        """The caller's."""
        return self.message.id

    @classmethod
    def of(cls, message: pb.ModelInferRequest) -> "InferRequest":
        return cls(message, message.raw_input_contents)

    @classmethod
    def parse(cls, data: bytes) -> "InferRequest":
        """What protobuf would make of it. Raises DecodeError."""
        rest, raw = take_out(data, _RAW)
        message = pb.ModelInferRequest.FromString(rest)
        if message.raw_input_contents:  # by a tag that is longer than it need be
            return cls.of(pb.ModelInferRequest.FromString(data))
        return cls(message, raw)


PARSERS: Final = {"ModelInfer": InferRequest.parse}
