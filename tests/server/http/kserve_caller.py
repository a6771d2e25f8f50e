"""What a caller does with KServe's REST client, run by the Python of an environment that holds it.

    python kserve_caller.py URL IMAGE CROPS

See test_kserve.py. A JSON object tells what came of it all; CROPS is a file of numpy.
"""

import asyncio
import json
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def main(url: str, image: bytes, crops: Any) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    images = InferInput("image", [1, 1], "BYTES")
    images.set_data_from_numpy(np.array([[image]], dtype=np.object_), binary_data=True)
    binary = {"binary_data_output": True, "priority": 1}
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"}}
    in_json = {"inputs": [{**tensor, "data": [b64encode(image).decode()]}]}
    outcome = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "models ready": [await client.is_model_ready(url, name) for name in ("tiny", "cats")],
        "in JSON": shown(await client.infer(url, in_json, model_name="tiny")),
        "binary": shown(await client.infer(url, asked([images]), model_name="tiny")),
        "binary both ways": shown(await client.infer(url, asked([images], binary), model_name="tiny")),
        "refused": await refused(client, url, asked([images]), "cats"),
    }
    for name, is_binary in (("pixels", True), ("pixels in JSON", False)):
        pixels = InferInput("pixels", list(crops.shape), "UINT8")
        pixels.set_data_from_numpy(crops, binary_data=is_binary)
        outputs = [
            RequestedOutput("label"),
            RequestedOutput("logits", parameters={"classification": 1, "binary_data": True}),
        ]
        request = InferRequest(model_name="tiny_onnx", infer_inputs=[pixels], request_outputs=outputs)
        outcome[name] = shown(await client.infer(url, request, model_name="tiny_onnx"))
    await client.close()
    return outcome


def asked(inputs: list[Any], parameters: dict[str, Any] | None = None) -> Any:
    return InferRequest(
        model_name="tiny", infer_inputs=inputs, request_id="call-7", parameters=parameters or {}
    )


def shown(answer: Any) -> dict[str, Any]:
    outputs = {output.name: [output.datatype, output.shape, output.data] for output in answer.outputs}
    return {"id": answer.id, "model": answer.model_name, "outputs": outputs}


async def refused(client: Any, url: str, request: Any, model: str) -> str:
    try:
        await client.infer(url, request, model_name=model)
    except Exception as error:
        return str(error)
    return "answered"


if __name__ == "__main__":
    _, place, file, array = sys.argv
    print(json.dumps(asyncio.run(main(place, Path(file).read_bytes(), np.load(array)))))
