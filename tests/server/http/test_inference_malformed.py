"""Bodies of inference requests that are not what they should be: refused, with the field that is wrong."""

import gzip
import json
import random
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from server.http import encodings, json_bodies
from tests.server.http.rest_calls import JSON_BYTES, Rest, message_as_json, tensors_of
from tests.server.oip.test_request_limits import damaged
from tests.server.oip_calls import IMAGES, crops_of, of_images, of_pixels, of_typed_pixels, wanting
from tests.servers import ServerProcess

INFER = "/v2/models/tiny/infer"
PIXELS = "/v2/models/tiny_onnx/infer"


@pytest.fixture
def rest(server: ServerProcess) -> Iterator[Rest]:
    connection = Rest(server)
    yield connection
    connection.close()


def image(**members: Any) -> dict[str, Any]:
    return {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["x"]} | members


def pixels(**members: Any) -> dict[str, Any]:
    data = crops_of(IMAGES[:1])
    return {
        "name": "pixels",
        "datatype": "UINT8",
        "shape": list(data.shape),
        "data": data.tolist(),
    } | members


def nested(depth: int) -> bytes:
    return b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}"


NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "half of it": b'{"inputs": [',
    "another encoding": '{"id": "ä"}'.encode("latin-1"),
    "two bytes a character": '{"inputs": []}'.encode("utf-16"),
    "a list": b"[]",
    "a number": b"1",
    "not a number": b'{"inputs": [{"data": [NaN]}]}',
    "endless": b'{"parameters": {"x": -Infinity}}',
    "depth": nested(100_000),
    "a number of many digits": b'{"parameters": {"x": ' + b"1" * 5000 + b"}}",
    "data behind it": b'{"inputs": []} and more',
}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no inputs": ({}, "inputs"),
    "inputs that are none": ({"inputs": {"image": "x"}}, "inputs"),
    "an input in words": ({"inputs": ["image"]}, "inputs[0]"),
    "an input without a name": ({"inputs": [{}]}, "inputs[0].name"),
    "a name that is a number": ({"inputs": [image(name=1)]}, "inputs[0].name"),
    "half a character": ({"inputs": [image(name="\ud800")]}, "inputs[0].name"),
    "no datatype": ({"inputs": [image(datatype=None)]}, "inputs[0].datatype"),
    "no shape": ({"inputs": [image(shape=None)]}, "inputs[0].shape"),
    "a size in words": ({"inputs": [image(shape=["1"])]}, "inputs[0].shape[0]"),
    "half a size": ({"inputs": [image(shape=[1, 0.5])]}, "inputs[0].shape[1]"),
    "a true size": ({"inputs": [image(shape=[True])]}, "inputs[0].shape[0]"),
    "a size of more than 64 bits": ({"inputs": [image(shape=[2**63])]}, "inputs[0].shape[0]"),
    "a huge shape": ({"inputs": [image(shape=[2**62, 2**62])]}, "inputs[0].data"),
    "a shape without end": ({"inputs": [image(shape=[2**62] * 5_000)]}, "inputs"),
    "a shape that is too long": ({"inputs": [image(shape=[2**62] * 50_000)]}, "body"),
    "a negative size": ({"inputs": [image(shape=[-1])]}, "inputs"),
    "no images": ({"inputs": [image(shape=[0], data=[])]}, "inputs"),
    "data in words": ({"inputs": [image(data="x")]}, "inputs[0].data"),
    "numbers for text": ({"inputs": [image(data=[1])]}, "inputs[0].data[0]"),
    "nothing for text": ({"inputs": [image(data=[None])]}, "inputs[0].data[0]"),
    "half a character of data": ({"inputs": [image(data=["\udfff"])]}, "inputs[0].data[0]"),
    "text that is no image": ({"inputs": [image()]}, "image"),
    "text that is not base64": (
        {"inputs": [image(data=["x!"], parameters={"content_type": "base64"})]},
        "inputs[0].data[0]",
    ),
    "more images than the shape tells": ({"inputs": [image(data=["x", "y"])]}, "inputs[0].data"),
    "the same input twice": ({"inputs": [image(), image()]}, "inputs"),
    "ragged lists": ({"inputs": [image(shape=[3], data=[["x"], ["y", "z"]])]}, "inputs[0].data"),
    "lists beside values": ({"inputs": [image(shape=[2], data=[["x"], "y"])]}, "inputs[0].data"),
    "text for numbers": ({"inputs": [pixels(data=["x"] * 768)]}, "inputs[0].data[0]"),
    "true for numbers": ({"inputs": [pixels(data=[0] * 767 + [True])]}, "inputs[0].data[767]"),
    "fractions": ({"inputs": [pixels(data=[0] * 767 + [1e300])]}, "inputs[0].data[767]"),
    "a number below 0": ({"inputs": [pixels(data=[0] * 767 + [-1])]}, "inputs[0].data"),
    "a number of 300 digits": ({"inputs": [pixels(data=[0] * 767 + [10**300])]}, "inputs[0].data"),
    "a number too few": ({"inputs": [pixels(data=[0] * 767)]}, "inputs[0].data"),
    "parameters that are none": ({"inputs": [image(parameters=[])]}, "inputs[0].parameters"),
    "a parameter that is a list": ({"parameters": {"x": []}}, "parameters.x"),
    "a parameter of many bits": ({"parameters": {"x": 2**64}}, "parameters.x"),
    "a parameter's name": ({"parameters": {"\ud800": 1}}, "parameters.\\ud800"),
    "an id that is a number": ({"id": 7}, "id"),
    "binary data in words": ({"parameters": {"binary_data_output": "yes"}}, "parameters.binary_data_output"),
    "outputs in words": ({"outputs": ["label"]}, "outputs[0]"),
    "an output's name": ({"outputs": [{"name": None}]}, "outputs[0].name"),
    "an output's binary data": (
        {"outputs": [{"name": "label", "parameters": {"binary_data": 1}}]},
        "outputs[0].parameters.binary_data",
    ),
    "an output in shared memory": (
        {"inputs": [image()], "outputs": [{"name": "label", "parameters": {"shared_memory_region": "x"}}]},
        "parameters",
    ),
    "many parameters": (
        {"inputs": [image()], "parameters": {f"x{i}": "y" * 100 for i in range(700)}},
        "body",
    ),
}


def test_malformed_requests_name_the_field_that_is_wrong(server: ServerProcess, rest: Rest) -> None:
    for case, body in NO_JSON.items():
        assert rest.post(INFER, body).refusal[:2] == (400, "body"), case
    for case, (document, field) in WRONG.items():
        path = PIXELS if document.get("inputs") and "pixels" in str(document["inputs"])[:40] else INFER
        status, blamed, said = rest.post(path, document).refusal
        assert (status, blamed) == (400, field), case
        assert len(said) < 400, case
    assert not any("Traceback" in line for line in server.stderr)


def test_binary_data_is_what_the_json_tells(rest: Rest) -> None:
    document, binary = message_as_json(of_images())
    body = json.dumps(document).encode()
    sizes = "inputs[0].parameters.binary_data_size"

    def with_size(size: object) -> bytes:
        tensor = document["inputs"][0] | {"parameters": {"binary_data_size": size}}
        return json.dumps({"inputs": [tensor]}).encode()

    cases: list[tuple[bytes, bytes, str, str]] = [
        (body, binary[:-1], str(len(body)), sizes),
        (body, binary + b"x", str(len(body)), "body"),
        (body, binary, str(len(body) + len(binary) + 1), JSON_BYTES),
        (body, binary, str(len(body) - 1), "body"),
        (body, binary, "0", JSON_BYTES),
        (body, binary, "-1", JSON_BYTES),
        (body, binary, "1e3", JSON_BYTES),
        (body, binary, "9" * 30, JSON_BYTES),
        (with_size(-1), binary, "", sizes),
        (with_size(2**64), binary, "", sizes),
        (with_size(True), binary, "", sizes),
        (with_size("8"), binary, "", sizes),
        (with_size(1.0), binary, "", sizes),
    ]
    for head, rest_of_it, length, field in cases:
        headers = {JSON_BYTES: length or str(len(head))}
        assert rest.post(INFER, head + rest_of_it, **headers).refusal[:2] == (400, field), (length, head)
    assert rest.post(INFER, body).refusal[:2] == (400, sizes)  # all is JSON where the header is not there


def test_a_body_may_be_compressed_as_triton_clients_do(rest: Rest) -> None:
    document, binary = message_as_json(of_pixels(crops_of(IMAGES)))
    head = json.dumps(document).encode()
    expected = tensors_of(rest.post_parts(PIXELS, document, binary))
    plain = {JSON_BYTES: str(len(head))}
    for encoding, body in (
        ("gzip", gzip.compress(head + binary)),
        ("deflate", zlib.compress(head + binary)),
        ("identity", head + binary),
    ):
        reply = rest.post(PIXELS, body, Content_Encoding=encoding, **plain)
        assert tensors_of(reply) == expected, encoding
    packed = gzip.compress(head + binary)
    for body, said in (
        (packed[:-1], "the body ends before its gzip does"),
        (packed + b"x", "the body goes on after the end of its gzip"),
        (head, "the body is not gzip, as its headers say"),
        (b"", "the body ends before its gzip does"),
    ):
        assert rest.post(PIXELS, body, Content_Encoding="gzip", **plain).refusal == (400, "", said)
    for encoding in ("br", "gzip, gzip", "zstd"):
        assert rest.post(PIXELS, packed, Content_Encoding=encoding, **plain).status == 415


def test_what_is_inflated_is_bounded(rest: Rest, server: ServerProcess) -> None:
    bomb = zlib.compressobj(9)
    zeros = bomb.compress(bytes(2**20))
    body = b"".join([zeros, *(bomb.compress(bytes(2**20)) for _ in range(2**3)), bomb.flush()])
    reply = rest.post(INFER, body, Content_Encoding="deflate")
    assert reply.refusal[0] == 413
    assert str(json_bodies.MAX_JSON_BYTES) in reply.json["detail"]


def test_inflated_pieces_are_small_and_whole() -> None:
    data = random.Random(3).randbytes(100_000) + bytes(3 * encodings.PIECE_BYTES)
    for step in (1 << 20, 60_000):
        decoder, packed = encodings.Decoder("gzip"), gzip.compress(data)
        pieces = [p for at in range(0, len(packed), step) for p in decoder.decode(packed[at : at + step])]
        decoder.finish()
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= encodings.PIECE_BYTES


def test_json_is_bounded_in_bytes_and_values(rest: Rest) -> None:
    values = json.dumps({"inputs": [{"data": [[]] * json_bodies.MAX_JSON_VALUES}]}).encode()
    assert len(values) < json_bodies.MAX_JSON_BYTES
    assert rest.post(INFER, values).refusal[0] == 413
    long = b'{"id": "' + b"x" * json_bodies.MAX_JSON_BYTES + b'"}'
    assert rest.post(INFER, long).refusal[0] == 413
    with_binary = rest.post(INFER, long, **{JSON_BYTES: str(len(long))})
    assert with_binary.refusal[2] == (
        f"a request has at most {json_bodies.MAX_JSON_BYTES} bytes of JSON, not {len(long)}; "
        "send the tensors' data binary, behind the JSON"
    )
    assert json_bodies.MAX_JSON_VALUES > 224 * 224 * 3 + 100


def test_damaged_bodies_are_answered_or_refused(server: ServerProcess, rest: Rest) -> None:
    chance = random.Random(11)
    whole = [
        (INFER, *message_as_json(wanting(of_images(id="x"), "probabilities", classification=2))),
        (PIXELS, *message_as_json(of_pixels(crops_of(IMAGES)))),
        (PIXELS, *message_as_json(of_typed_pixels(crops_of(IMAGES[:1])))),
    ]
    statuses = set()
    for _ in range(300):
        path, document, binary = chance.choice(whole)
        head = json.dumps(document).encode()
        headers = {JSON_BYTES: str(len(head) + chance.choice((0, 0, 0, 1, -1)))} if binary else {}
        statuses.add(rest.post(path, damaged(head, chance) + binary, **headers).status)
    assert statuses <= {200, 400, 404}
    assert {200, 400} <= statuses
    assert not any("Traceback" in line for line in server.stderr)
    assert server.process.poll() is None
