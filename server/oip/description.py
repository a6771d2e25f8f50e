"""How the protocol describes the server, the model under its two names, and what it has computed."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from fovea.oip import open_inference_pb2 as pb
from server.models.model import CallTallies, Model, ModelFigures, Tally
from server.oip.aliases import ModelAlias
from server.oip.outputs import outputs_of

SERVER_NAME: Final = "fovea"
SERVER_VERSION: Final = "0.1.0"
EXTENSIONS: Final = (
    *("binary_tensor_data", "classification", "model_configuration", "model_repository"),
    *("parameters", "schedule_policy", "statistics"),
)
"""Triton's, by its own names."""
PLATFORM: Final = "onnxruntime_onnx"
BACKEND: Final = "onnxruntime"
PRIORITY_LEVELS: Final = 2
_DATA_TYPES: Final = {"FP32": pb.TYPE_FP32, "BOOL": pb.TYPE_BOOL, "BYTES": pb.TYPE_STRING}
"""In Triton's configuration."""


def server_metadata() -> pb.ServerMetadataResponse:
    return pb.ServerMetadataResponse(name=SERVER_NAME, version=SERVER_VERSION, extensions=EXTENSIONS)


def model_metadata(model: Model, alias: ModelAlias, versions: Iterable[int]) -> pb.ModelMetadataResponse:
    contract = model.contract
    tensor = pb.ModelMetadataResponse.TensorMetadata
    return pb.ModelMetadataResponse(
        name=alias.name,
        versions=[str(version) for version in versions],
        platform=PLATFORM,
        inputs=[tensor(name=alias.input, datatype=alias.datatype, shape=(-1, *alias.dims))],
        outputs=[
            tensor(name=name, datatype=output.datatype, shape=(-1, output.size))
            for name, output in outputs_of(model).items()
        ],
        properties={
            "digest": model.identity.digest,
            "provider": model.provider,
            "precision": model.precision,
            "preprocess_digest": contract.preprocess.digest,
            **({} if contract.task == "single" else {"task": contract.task}),
        },
    )


def model_config(
    model: Model, alias: ModelAlias, max_images: int, max_queue_delay_ms: float
) -> pb.ModelConfigResponse:
    crops = alias.takes_crops
    entry = pb.ModelInput(
        name=alias.input,
        data_type=pb.TYPE_UINT8 if crops else pb.TYPE_STRING,
        format=pb.ModelInput.FORMAT_NHWC if crops else pb.ModelInput.FORMAT_NONE,
        dims=alias.dims,
    )
    outputs = [
        pb.ModelOutput(name=name, data_type=_DATA_TYPES[output.datatype], dims=[output.size])
        for name, output in outputs_of(model).items()
    ]
    config = pb.ModelConfig(
        name=alias.name,
        platform=PLATFORM,
        backend=BACKEND,
        max_batch_size=min(max_images, 2**31 - 1),
        input=[entry],
        output=outputs,
        dynamic_batching=pb.ModelDynamicBatching(
            max_queue_delay_microseconds=round(max_queue_delay_ms * 1000), priority_levels=PRIORITY_LEVELS
        ),
    )
    return pb.ModelConfigResponse(config=config)


def model_statistics(figures: ModelFigures, version: int, alias: ModelAlias) -> pb.ModelStatistics:
    calls = figures.calls.get(alias.name, CallTallies())
    return pb.ModelStatistics(
        name=alias.name,
        version=str(version),
        last_inference=calls.last_ms,
        inference_count=figures.images,
        execution_count=sum(tally.count for tally in figures.batches.values()),
        inference_stats=pb.InferStatistics(
            success=_duration(calls.success),
            fail=_duration(calls.fail),
            queue=_duration(calls.queue),
            compute_input=_duration(calls.decode),
            compute_infer=_duration(calls.compute),
            compute_output=_duration(calls.answer),
        ),
        batch_stats=[
            pb.InferBatchStatistics(batch_size=size, compute_infer=_duration(tally))
            for size, tally in sorted(figures.batches.items())
        ],
    )


def index_entries(
    names: tuple[str, str], loaded: Iterable[int], refused: Mapping[int, str], is_ready: bool
) -> Iterator[pb.RepositoryIndexResponse.ModelIndex]:
    """Each version that is served, or that could not be, under both names."""
    entry = pb.RepositoryIndexResponse.ModelIndex
    for name in names:
        for version in loaded:
            state, reason = ("READY", "") if is_ready else ("UNAVAILABLE", "the model is not ready")
            yield entry(name=name, version=str(version), state=state, reason=reason)
        for version, reason in sorted(refused.items()):
            yield entry(name=name, version=str(version), state="UNAVAILABLE", reason=reason)


def _duration(tally: Tally) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=tally.count, ns=round(tally.seconds * 1e9))
