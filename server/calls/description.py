"""How classify.proto describes the model that is served."""

from collections.abc import Iterable, Sequence

from fovea.model.bundle import EMBEDDING, BundleContract
from fovea.model.measured import LabelMetrics, LabelScore
from fovea.v1 import classify_pb2 as pb
from server.models.model import Model


def model_description(
    model: Model, names: Iterable[str] = (), versions: Sequence[int] = ()
) -> pb.GetModelResponse:
    """`names` are those of all models that there are, `versions` those of this one that are loaded."""
    contract = model.contract
    described = pb.GetModelResponse(
        model=model.identity,
        labels=contract.labels,
        preprocess=preprocess_description(contract),
        metrics=_metrics(model),
        abstain_threshold=contract.abstain_threshold,
        loaded_versions=versions or (contract.version,),
        provider=model.provider,
        precision=model.precision,
        models=sorted(names),
        embedding_size=contract.output_values.get(EMBEDDING, 0),
        measured_on=contract.measured_on,
    )
    if contract.out_of_distribution is not None:
        described.unknown_threshold = contract.out_of_distribution.threshold
    if (sets := contract.sets_of(model.precision)) is not None:
        described.label_set_coverage = sets.coverage
    if contract.thresholds is not None:
        described.task = contract.task
        described.thresholds.extend(contract.thresholds)
        if (scores := contract.label_metrics_of(model.precision)) is not None:
            described.label_metrics.CopyFrom(_label_metrics(scores, contract.labels))
    described.created.FromDatetime(contract.created)
    return described


def preprocess_description(contract: BundleContract) -> pb.Preprocess:
    spec = contract.preprocess
    return pb.Preprocess(
        size=spec.size,
        resize=spec.resize,
        interpolation=spec.interpolation,
        digest=spec.digest,
        fit=spec.fit,
        pad_colour=spec.pad_colour if spec.fit == "pad" else (),
    )


def _metrics(model: Model) -> pb.Metrics:
    measured = model.contract.metrics
    return pb.Metrics(
        accuracy=measured.accuracy, loss=measured.loss, ece=measured.ece, images=measured.images
    )


def _label_metrics(measured: LabelMetrics, labels: Iterable[str]) -> pb.LabelMetrics:
    return pb.LabelMetrics(
        map=measured.map,
        micro_f1=measured.micro_f1,
        macro_f1=measured.macro_f1,
        labels=[_score(label, measured.per_label[label]) for label in labels if label in measured.per_label],
    )


def _score(label: str, score: LabelScore) -> pb.LabelScore:
    return pb.LabelScore(
        label=label,
        threshold=score.threshold,
        images=score.images,
        selected=score.selected,
        right=score.right,
        average_precision=score.average_precision,
        precision=_share(score.precision, score.precision_interval),
        recall=_share(score.recall, score.recall_interval),
    )


def _share(share: float, interval: tuple[float, float] | None) -> pb.Share | None:
    return None if interval is None else pb.Share(share=share, low=interval[0], high=interval[1])
