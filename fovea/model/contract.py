"""What a bundle says of itself: the content of bundle.json."""

import json
from datetime import datetime
from typing import Final, Literal, Self

from pydantic import Field, JsonValue, model_validator

from fovea.frozen import Frozen
from fovea.images.spec import PreprocessSpec
from fovea.model.measured import LabelMetrics, Metrics, Opinion
from fovea.model.task import (
    TERMS,
    Task,
    ThresholdRule,
    check_has_no_labels_terms,
    check_labels_terms,
)
from fovea.truth.novelty import UnlessOfAnotherKind
from fovea.truth.sets import PredictionSets

OtherPrecision = Literal["fp16", "int8", "int8-full"]
"""int8 has weights of seven bits, whose sums every processor computes exactly; int8-full has eight."""
Precision = Literal["fp32", OtherPrecision]

EMBEDDING: Final = "embedding"
METADATA_KEY: Final = "fovea"
"""Where the ONNX file's own metadata_props carry `BundleContract.embedded()`."""


def _is_none(value: object) -> bool:
    return value is None


class TensorSpec(Frozen):
    """One input or output of the ONNX graph; a dimension that varies is named."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Variant(Frozen):
    """The model at another precision than fp32; its digest stands in `BundleContract.files`."""

    file: str = Field(description="path in the bundle")
    metrics: Metrics
    golden: tuple[tuple[float, ...], ...] = Field(
        description="its own probabilities [n, classes] of the golden images"
    )
    prediction_sets: PredictionSets | None = Field(None, description="by its own probabilities")
    golden_distances: tuple[float, ...] | None = Field(
        None, description="of the golden images, by its own embeddings; not in older bundles"
    )
    label_metrics: LabelMetrics | None = Field(None, exclude_if=_is_none, description="of a multi-label one")


class BundleContract(Frozen):
    """The content of bundle.json."""

    format: Literal[1, 2] = 1
    task: Task = Field("single", exclude_if=lambda task: task == "single")
    name: str
    version: int = Field(ge=0, description="0 while it is not published")
    created: datetime
    files: dict[str, str] = Field(description="path in the bundle -> sha256, hexadecimal")
    labels: tuple[str, ...] = Field(min_length=1, description="in the order of the model's outputs")
    preprocess: PreprocessSpec
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metrics: Metrics
    measured_on: Literal["heldout", "test"] = Field(
        "heldout",
        description="the part of the data that all metrics are of: on test nothing was chosen, on heldout "
        "the epochs, the temperature, the abstain threshold and the precisions were; of a multi-label model "
        "the temperatures and thresholds of the labels",
    )
    variants: dict[OtherPrecision, Variant] = Field(
        default={}, description="the other precisions that were released"
    )
    temperature: float = Field(gt=0)
    abstain_threshold: float = Field(ge=0, le=1)
    verdict: Opinion | None = Field(None, description="whether to ship; not in older bundles")
    training: dict[str, JsonValue] = Field(
        description="architecture, weights, data digest, decisions, versions"
    )
    image_path: dict[str, str] = Field(
        default={},
        description="revision and decoders that the golden crops were made by; of old bundles, none",
    )
    out_of_distribution: UnlessOfAnotherKind = Field(
        None, description="when an image is unlike all of the training's; not in older bundles"
    )
    prediction_sets: PredictionSets | None = Field(
        None,
        description="how an image's set of labels is made; none where too few images were held out, and in "
        "older bundles",
    )
    temperatures: tuple[float, ...] | None = Field(
        None, exclude_if=_is_none, description="one a label, of a multi-label model: `temperature` is 1 then"
    )
    thresholds: tuple[float, ...] | None = Field(
        None,
        exclude_if=_is_none,
        description="one a label, of a multi-label model: the label is selected from this probability on; "
        "above 1: never",
    )
    threshold_rule: ThresholdRule | None = Field(None, exclude_if=_is_none)
    label_metrics: LabelMetrics | None = Field(
        None, exclude_if=_is_none, description="of a multi-label model, beside `metrics`"
    )

    @model_validator(mode="after")
    def _labels_are_unique(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label stands twice in labels")
        return self

    @model_validator(mode="after")
    def _is_of_its_task(self) -> Self:
        terms, count = TERMS[self.task], len(self.labels)
        if self.format != terms.format:
            raise ValueError(f"format {self.format} is not that of task {self.task}, which is {terms.format}")
        if count < terms.least_labels:
            raise ValueError(f"labels are {count}, and task {self.task} needs {terms.least_labels}")
        if self.task == "single":
            check_has_no_labels_terms(self.temperatures, self.thresholds, self.threshold_rule)
        else:
            check_labels_terms(count, self.temperatures, self.thresholds)
            if self.temperature != 1:
                raise ValueError("temperature should be 1 of task multi, which has temperatures")
            if self.abstain_threshold or self.prediction_sets or self.out_of_distribution:
                raise ValueError("a model of task multi neither abstains nor has sets or a known share")
        return self

    @property
    def output_values(self) -> dict[str, int]:
        """How many values of an image each output has."""
        return {output.name: int(output.shape[1]) for output in self.outputs}

    @property
    def gives_embeddings(self) -> bool:
        """Older models give none."""
        return EMBEDDING in self.output_values

    def metrics_of(self, precision: Precision) -> Metrics:
        """As it was measured at the release; raises KeyError for a precision that there is not."""
        return self.metrics if precision == "fp32" else self.variants[precision].metrics

    def sets_of(self, precision: Precision) -> PredictionSets | None:
        """Each precision has its own; raises KeyError for one that there is not."""
        return self.prediction_sets if precision == "fp32" else self.variants[precision].prediction_sets

    def label_metrics_of(self, precision: Precision) -> LabelMetrics | None:
        """As `metrics_of`; None of a single-label model."""
        return self.label_metrics if precision == "fp32" else self.variants[precision].label_metrics

    def embedded(self) -> str:
        """What the ONNX file repeats of the contract, as canonical JSON; loading compares the two."""
        fields = {
            *("format", "labels", "preprocess", "inputs", "outputs"),
            *("temperature", "abstain_threshold"),
        }
        if self.task == "multi":
            fields |= {"task", "temperatures", "thresholds"}
        return canonical_json(self.model_dump(mode="json", include=fields))


def canonical_json(value: object) -> str:
    """JSON that is the same for equal values: keys sorted, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
