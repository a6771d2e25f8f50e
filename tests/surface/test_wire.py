"""The services, the metrics and the client."""

import inspect
from importlib import import_module
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.json_format import MessageToDict
from prometheus_client import Metric

from fovea import client
from fovea.model.bundle import ModelBundle
from server.telemetry.drift import AccuracyGauge
from server.telemetry.metrics import Metrics
from tests.surface.recording import compare

ROOT = Path(__file__).parents[2]


def test_services_are_as_recorded() -> None:
    for contract in ROOT.glob("proto/**/*.proto"):
        module = ".".join(contract.relative_to(ROOT / "proto").with_suffix("").parts)
        compare(f"{contract.stem}.json", descriptor(f"{module}_pb2"))


def descriptor(module: str) -> object:
    return MessageToDict(FileDescriptorProto.FromString(import_module(module).DESCRIPTOR.serialized_pb))


def test_metrics_are_as_recorded(tiny_bundle: ModelBundle) -> None:
    metrics = Metrics()
    accuracy = AccuracyGauge(tiny_bundle.contract.metrics)
    metrics.of_model("pets").show_model(tiny_bundle, "cpu", "fp32", {}, accuracy)
    families = (family for family in metrics.registry.collect() if family.name.startswith("fovea_"))
    compare("metrics.json", {family.name: described(family) for family in families})


def described(family: Metric) -> object:
    """A family's type, help and samples, and its labels with the values that are there from the start."""
    labels: dict[str, list[str]] = {}
    for sample in family.samples:
        for name, value in sample.labels.items():
            values = labels.setdefault(name, [])
            if family.type != "info" and value not in values:
                values.append(value)
    samples = sorted({sample.name for sample in family.samples})
    return {"type": family.type, "help": family.documentation, "samples": samples, "labels": labels}


def test_client_is_as_recorded() -> None:
    compare("client.json", {name: members(getattr(client, name)) for name in sorted(client.__all__)})


def members(public: object) -> object:
    """Of a class the fields, and the methods with their parameters."""
    if not inspect.isclass(public):
        return None
    names = {*dir(public), *getattr(public, "__annotations__", {})} - {*dir(Exception)}
    members = sorted(name for name in names if not name.startswith("_"))
    return {name: parameters(getattr(public, name, None)) for name in ("__init__", *members)}


def parameters(member: object) -> str:
    return ", ".join(inspect.signature(member).parameters) if inspect.isfunction(member) else ""
