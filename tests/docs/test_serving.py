"""docs/serving.md: what it calls and sends, the metrics and the limits."""

import re

from google.protobuf import json_format

from fovea.oip import open_inference_pb2
from fovea.v1 import classify_pb2
from server.config import ServeSettings
from server.http.json_bodies import MAX_JSON_BYTES, MAX_JSON_VALUES
from server.http.tensors import infer_of
from server.oip.inputs import LENGTH
from server.oip.request_limits import MAX_NUMBERS_BYTES, MAX_REST_BYTES
from server.telemetry.metrics import Metrics
from tests.docs.pages import SERVING
from tests.markdown import amount


def test_metrics_that_the_page_names_are_the_servers() -> None:
    named = {code for code in SERVING.code if code.startswith("fovea_")}
    families = Metrics().registry.collect()
    series = {f"{one.name}_total" if one.type == "counter" else one.name for one in families}
    ours = {name for name in series if name.startswith("fovea_")}
    assert named == ours | {"fovea_model_info"}


def test_requests_that_the_page_writes_as_json_are_requests() -> None:
    image, named = (command for command in SERVING.commands if "grpcurl -plaintext -d" in command)
    (text,) = re.findall(r"echo \"(.*?)\" \| grpcurl", image)
    unquoted = re.sub(r"\$\(.*?\)", "aW1hZ2U=", text).replace('\\"', '"')
    request = json_format.Parse(unquoted, classify_pb2.ClassifyRequest())
    assert (request.image, request.top_k) == (b"image", 3)
    (text,) = re.findall(r"-d '(.*?)' \S+ inference", named)
    assert json_format.Parse(text, open_inference_pb2.ModelMetadataRequest()).name == "pets"


def test_methods_that_the_page_calls_exist() -> None:
    for contract in (classify_pb2, open_inference_pb2):
        (service,) = contract.DESCRIPTOR.services_by_name.values()
        called = re.findall(rf"{re.escape(service.full_name)}/(\w+)", "\n".join(SERVING.commands))
        assert called, service.full_name
        assert set(called) <= set(service.methods_by_name)


def test_ports_are_the_defaults() -> None:
    fields = ServeSettings.model_fields
    defaults = [fields[name].default for name in ("http_port", "port", "metrics_port", "health_port")]
    assert [int(row["port"].text) for row in SERVING.table("port")] == defaults


def test_limits_of_a_request_are_the_servers() -> None:
    limits = {row["of a request"].text: amount(row["at most"].text) for row in SERVING.table("of a request")}
    assert limits == {
        "typed numbers": MAX_NUMBERS_BYTES,
        "all but its tensors' data": MAX_REST_BYTES,
        "JSON": MAX_JSON_BYTES,
        "values in it": MAX_JSON_VALUES,
    }


def test_inference_request_that_the_page_posts_is_one() -> None:
    (command,) = (command for command in SERVING.commands if "/v2/models/pets/infer" in command)
    (text,) = re.findall(r'echo "(.*)" \| curl', command)
    body = re.sub(r"\$\(.*?\)", "aW1hZ2U=", text).replace('\\"', '"').encode()
    asked = infer_of(body, None, "pets", "", "").request
    assert [bytes(content)[LENGTH.size :] for content in asked.raw] == [b"image"]
    assert asked.message.outputs[0].parameters["classification"].int64_param == 3
