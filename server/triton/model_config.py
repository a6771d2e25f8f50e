"""The text of config.pbtxt: what Triton is told of a model (its message is `inference.ModelConfig`).

It names the one version that it describes, whose labels lie in that version's folder. So a version that is
being written is nobody's, and goes live, with its labels and its number of classes, by one rename of this
file.
"""

import json
from collections.abc import Mapping
from typing import Final

from fovea.model.bundle import EMBEDDING, MODEL_FILE, BundleContract
from server.triton.config import TritonSettings

CONFIG_FILE: Final = "config.pbtxt"
LABELS_FILE: Final = "labels.txt"

FIRST_LINE: Final = "# Written by python -m server.triton, which writes over what is changed here.\n"

PRIORITIES: Final = 2
"""1, for callers who wait, comes before 2, for those in bulk; a request that says nothing is the first."""


def image_config(name: str, contract: BundleContract, settings: TritonSettings) -> str:
    """Of the model that takes encoded images, on the python backend."""
    label = '{ name: "label" data_type: TYPE_STRING dims: [ 1 ] }'
    parameters = {
        "provider": settings.provider,
        "precision": settings.precision,
        "max_image_bytes": settings.max_image_bytes,
        "max_image_pixels": settings.max_image_pixels,
    }
    return _config(
        name,
        "python",
        '{ name: "image" data_type: TYPE_STRING dims: [ 1 ] }',
        [*_rows(contract), label, *_details(contract, settings), *_embedding(contract)],
        contract,
        settings,
    ) + _parameters(parameters)


def pixels_config(name: str, contract: BundleContract, settings: TritonSettings) -> str:
    """Of the model that takes pixels, on the onnxruntime backend.

    Triton runs it before it is ready. Images cannot be run so: what it makes up for a string is no image.
    """
    shape = f"data_type: TYPE_UINT8 dims: [ {contract.preprocess.size}, {contract.preprocess.size}, 3 ]"
    warm_up = (
        f'model_warmup [ {{ name: "one image" batch_size: 1 '
        f'inputs {{ key: "pixels" value {{ {shape} zero_data: true }} }} }} ]\n'
    )
    return (
        _config(
            name,
            "onnxruntime",
            f'{{ name: "pixels" {shape} }}',
            [*_rows(contract), *_embedding(contract)],
            contract,
            settings,
        )
        + f'default_model_filename: "{MODEL_FILE}"\n'
        + warm_up
    )


def _config(
    name: str,
    backend: str,
    tensor: str,
    outputs: list[str],
    contract: BundleContract,
    settings: TritonSettings,
) -> str:
    lines = ",\n".join(f"  {output}" for output in outputs)
    return f"""{FIRST_LINE}name: {_quoted(name)}
backend: "{backend}"
version_policy {{ specific {{ versions: [ {contract.version} ] }} }}
max_batch_size: {settings.batch_size}
input [
  {tensor}
]
output [
{lines}
]
dynamic_batching {{
  max_queue_delay_microseconds: {round(settings.max_queue_delay_ms * 1000)}
  priority_levels: {PRIORITIES}
  default_priority_level: 1
  default_queue_policy {{
    timeout_action: REJECT
    default_timeout_microseconds: {round(settings.queue_timeout_ms * 1000)}
    allow_timeout_override: true
    max_queue_size: {settings.queue_capacity}
  }}
}}
instance_group [ {_instances(settings)} ]
"""


def _rows(contract: BundleContract) -> list[str]:
    """The outputs with a number for each class, which `classification` can name."""
    facts = (
        f"data_type: TYPE_FP32 dims: [ {len(contract.labels)} ] "
        f'label_filename: "{contract.version}/{LABELS_FILE}"'
    )
    return [f'{{ name: "{output}" {facts} }}' for output in ("probabilities", "logits")]


def _details(contract: BundleContract, settings: TritonSettings) -> list[str]:
    """What a bundle says of an image besides, as our own server gives it."""
    rows = []
    if contract.thresholds is not None:
        rows += [f'{{ name: "selected" data_type: TYPE_BOOL dims: [ {len(contract.labels)} ] }}']
    if contract.out_of_distribution is not None:
        rows += ['{ name: "distance" data_type: TYPE_FP32 dims: [ 1 ] }']
        rows += ['{ name: "unknown" data_type: TYPE_BOOL dims: [ 1 ] }']
    if contract.sets_of(settings.precision) is not None:
        rows += [f'{{ name: "label_set" data_type: TYPE_BOOL dims: [ {len(contract.labels)} ] }}']
    return rows


def _embedding(contract: BundleContract) -> list[str]:
    size = contract.output_values.get(EMBEDDING)
    return [] if size is None else [f'{{ name: "{EMBEDDING}" data_type: TYPE_FP32 dims: [ {size} ] }}']


def _instances(settings: TritonSettings) -> str:
    kind = "KIND_GPU gpus: [ 0 ]" if settings.provider == "cuda" else "KIND_CPU"
    return f"{{ count: {settings.instances} kind: {kind} }}"


def _parameters(values: Mapping[str, object]) -> str:
    return "".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'
        for key, value in values.items()
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
