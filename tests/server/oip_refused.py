"""Requests that are refused: each with the field that is blamed, and what is said of it."""

from collections.abc import Callable

from fovea.oip import open_inference_pb2 as pb
from tests.server.oip_calls import (
    IMAGES,
    crops_of,
    of_images,
    of_pixels,
    of_typed_images,
    of_typed_pixels,
    raw_bytes,
    wanting,
    with_parameter,
)

Change = Callable[[pb.ModelInferRequest], object]

PIXELS = crops_of(IMAGES)
LENGTHS = "each has its length before it, in 4 bytes, little-endian"
A_VERSION = "model_version must be the number of a version, as 3, or empty for the current one"


def changed(request: pb.ModelInferRequest, *changes: Change) -> pb.ModelInferRequest:
    for change in changes:
        change(request)
    return request


def shape(*dims: int) -> Change:
    return lambda request: request.inputs[0].shape.__setitem__(slice(None), dims)


def raw(*contents: bytes) -> Change:
    return lambda request: request.raw_input_contents.__setitem__(slice(None), contents)


def datatype(name: str) -> Change:
    return lambda request: setattr(request.inputs[0], "datatype", name)


def called(name: str) -> Change:
    return lambda request: setattr(request.inputs[0], "name", name)


def in_shared_memory(request: pb.ModelInferRequest) -> None:
    request.inputs[0].parameters["shared_memory_region"].string_param = "mine"
    del request.raw_input_contents[:]


def out_to_shared_memory(request: pb.ModelInferRequest) -> None:
    wanting(request, "label").outputs[0].parameters["shared_memory_region"].string_param = "mine"


def typed_floats(request: pb.ModelInferRequest) -> None:
    request.inputs[0].contents.Clear()
    request.inputs[0].contents.fp32_contents.extend([0.5] * 768)


def one_too_many(request: pb.ModelInferRequest) -> None:
    request.inputs[0].contents.uint_contents.append(1)


def too_large(request: pb.ModelInferRequest) -> None:
    request.inputs[0].contents.uint_contents[5] = 256


REFUSED: dict[str, tuple[Callable[[], pb.ModelInferRequest], str, str]] = {
    "no input": (
        lambda: changed(of_images(), lambda r: r.ClearField("inputs")),
        "inputs",
        "the input is missing: 'tiny' takes 'image' (BYTES [n,1], encoded images)",
    ),
    "another input": (
        lambda: changed(of_images(), called("picture")),
        "inputs",
        "there is no input 'picture': 'tiny' takes 'image' (BYTES [n,1], encoded images)",
    ),
    "one input too many": (
        lambda: changed(of_images(), lambda r: r.inputs.add(name="mask")),
        "inputs",
        "there is no input 'mask': 'tiny' takes 'image' (BYTES [n,1], encoded images)",
    ),
    "the same input twice": (
        lambda: changed(of_images(), lambda r: r.inputs.append(r.inputs[0])),
        "inputs",
        "'image' is there 2 times; once is right",
    ),
    "pixels to the name that takes images": (
        lambda: of_pixels(PIXELS, model_name="tiny"),
        "inputs",
        "there is no input 'pixels': 'tiny' takes 'image' (BYTES [n,1], encoded images); "
        "'pixels' is the input of 'tiny_onnx'",
    ),
    "images to the name that takes pixels": (
        lambda: of_images(model_name="tiny_onnx"),
        "inputs",
        "there is no input 'image': 'tiny_onnx' takes 'pixels' (UINT8 [n,16,16,3], crops that are ready); "
        "'image' is the input of 'tiny'",
    ),
    "another datatype": (
        lambda: changed(of_pixels(PIXELS), datatype("FP32")),
        "inputs",
        "the datatype of 'pixels' (UINT8 [n,16,16,3], crops that are ready) must not be 'FP32'",
    ),
    "channels first": (
        lambda: changed(of_pixels(PIXELS), shape(3, 3, 16, 16)),
        "inputs",
        "the shape must be that of 'pixels' (UINT8 [n,16,16,3], crops that are ready), not [3,3,16,16]",
    ),
    "a shape without the number of images": (
        lambda: changed(of_pixels(PIXELS), shape(16, 16, 3)),
        "inputs",
        "the shape must be that of 'pixels' (UINT8 [n,16,16,3], crops that are ready), not [16,16,3]",
    ),
    "no shape": (
        lambda: changed(of_images(), shape()),
        "inputs",
        "the shape must be that of 'image' (BYTES [n,1], encoded images), not []",
    ),
    "two images a row": (
        lambda: changed(of_images(), shape(3, 2)),
        "inputs",
        "the shape must be that of 'image' (BYTES [n,1], encoded images), not [3,2]",
    ),
    "hundreds of dimensions": (
        lambda: changed(of_images(), shape(*[2**31] * 500)),
        "inputs",
        "the shape must be that of 'image' (BYTES [n,1], encoded images), not "
        "[2147483648,2147483648,2147483648,2147483648,2147483648,2147483648,...]",
    ),
    "no images": (
        lambda: changed(of_images([]), shape(0, 1)),
        "inputs",
        "a call carries from 1 to 64 images, not 0",
    ),
    "fewer than no images": (
        lambda: changed(of_pixels(PIXELS), shape(-1, 16, 16, 3)),
        "inputs",
        "a call carries from 1 to 64 images, not -1",
    ),
    "more images than a call may have": (
        lambda: of_images([b"x"] * 65),
        "inputs",
        "a call carries from 1 to 64 images, not 65",
    ),
    "more pixels than there are numbers": (
        lambda: changed(of_pixels(PIXELS), shape(2**63 - 1, 16, 16, 3)),
        "inputs",
        "a call carries from 1 to 64 images, not 9223372036854775807",
    ),
    "fewer pixels than the shape tells": (
        lambda: changed(of_pixels(PIXELS), shape(4, 16, 16, 3)),
        "raw_input_contents",
        "raw_input_contents must have 4 x 768 bytes, the pixels of 4 images, not 2304",
    ),
    "no data": (
        lambda: changed(of_images(), raw()),
        "inputs",
        "the data of 'image' (BYTES [n,1], encoded images) must be in raw_input_contents or "
        "contents.bytes_contents, and there is none",
    ),
    "raw and typed data": (
        lambda: changed(of_typed_images(), raw(raw_bytes(IMAGES))),
        "inputs",
        "contents must not be there when raw_input_contents is",
    ),
    "raw data for an input that is not there": (
        lambda: changed(of_images(), raw(raw_bytes(IMAGES), b"")),
        "raw_input_contents",
        "raw_input_contents must have 1 entry, for the 1 input, not 2",
    ),
    "raw images without lengths": (
        lambda: changed(of_images(), shape(1, 1), raw(b"\x89PNG\r\n\x1a\n")),
        "raw_input_contents",
        "image 0 of raw_input_contents has 1196314761 bytes by the 4 before it, and 4 are there",
    ),
    "a length that goes beyond the end": (
        lambda: changed(of_images(), shape(2, 1), raw(raw_bytes([b"one"]) + b"\xff\xff\xff\xfftwo")),
        "raw_input_contents",
        "image 1 of raw_input_contents has 4294967295 bytes by the 4 before it, and 3 are there",
    ),
    "fewer raw images than the shape tells": (
        lambda: changed(of_images(), shape(4, 1)),
        "raw_input_contents",
        f"raw_input_contents ends before image 3 of 4; {LENGTHS}",
    ),
    "more raw images than the shape tells": (
        lambda: changed(of_images([b"one", b"two"]), shape(1, 1)),
        "raw_input_contents",
        "raw_input_contents has 7 bytes after the last of the 1 images that the shape tells",
    ),
    "an empty entry of raw data": (
        lambda: changed(of_images(), raw(b"")),
        "raw_input_contents",
        f"raw_input_contents ends before image 0 of 3; {LENGTHS}",
    ),
    "fewer typed images than the shape tells": (
        lambda: changed(of_typed_images(), shape(4, 1)),
        "inputs",
        "contents.bytes_contents must have 4 x 1 elements, not 3",
    ),
    "more typed pixels than the shape tells": (
        lambda: changed(of_typed_pixels(PIXELS), one_too_many),
        "inputs",
        "contents.uint_contents must have 3 x 768 elements, not 2305",
    ),
    "a typed pixel that no byte can hold": (
        lambda: changed(of_typed_pixels(PIXELS), too_large),
        "inputs",
        "UINT8 is from 0 to 255, and 256 is not",
    ),
    "pixels as floats": (
        lambda: changed(of_typed_pixels(PIXELS[:1]), typed_floats),
        "inputs",
        "the data of 'pixels' (UINT8 [n,16,16,3], crops that are ready) must be in raw_input_contents or "
        "contents.uint_contents, not in fp32_contents",
    ),
    "an input in shared memory": (
        lambda: changed(of_images(), in_shared_memory),
        "parameters",
        "'image' cannot be in shared memory; send its data in raw_input_contents, and take outputs from "
        "raw_output_contents",
    ),
    "an output in shared memory": (
        lambda: changed(of_images(), out_to_shared_memory),
        "parameters",
        "'label' cannot be in shared memory; send its data in raw_input_contents, and take outputs from "
        "raw_output_contents",
    ),
    "another output": (
        lambda: wanting(of_images(), "label", "heat map"),
        "outputs",
        "'tiny' has no output 'heat map': it has 'probabilities', 'logits', 'label', 'distance', 'unknown', "
        "'label_set', 'embedding'",
    ),
    "the same output twice": (
        lambda: wanting(of_images(), "label", "label"),
        "outputs",
        "the output 'label' is asked for twice",
    ),
    "less than the best class": (
        lambda: wanting(of_images(), "logits", classification=-1),
        "classification",
        "classification must not be negative, as -1 is",
    ),
    "a priority above the highest": (
        lambda: with_parameter(of_images(), "priority", int64_param=-1),
        "priority",
        "priority must not be negative, as -1 is",
    ),
    "a priority in words": (
        lambda: with_parameter(of_images(), "priority", string_param="high"),
        "priority",
        "priority must be an int64_param, not string_param",
    ),
    "a timeout that is no number": (
        lambda: with_parameter(of_images(), "timeout", double_param=float("nan")),
        "timeout",
        "timeout must be an int64_param, not double_param",
    ),
    "an empty timeout": (
        lambda: with_parameter(of_images(), "timeout"),
        "timeout",
        "timeout must be an int64_param, not empty",
    ),
    "an id that is too long": (lambda: of_images(id="ä" * 65), "id", "id must have at most 128 bytes"),
    "a version in words": (
        lambda: of_images(model_version="latest"),
        "model_version",
        f"{A_VERSION}, not 'latest'",
    ),
    "a version of twenty digits": (
        lambda: of_images(model_version="1" * 20),
        "model_version",
        f"{A_VERSION}, not '{'1' * 20}'",
    ),
}
