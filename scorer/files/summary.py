"""summary.json: what a run came to. Written when it ends, and read again where it is judged anew."""

import json
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fovea.errors import DataInvalid
from fovea.stores.folder import Folder
from scorer.files import layout
from scorer.files.plan import LeftOut

DRIFT_WORDS: Final = ("none", "some", "large")
DRIFTS: Final = {"drift": "classes", "confidence_drift": "confidence", "abstained_drift": "abstentions"}
"""Where the comparison with others has a drift -> of what."""


class _Frozen(BaseModel):
    # What another version of the scorer wrote besides is passed over.
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=(), populate_by_name=True)


class ModelIdentity(_Frozen):
    name: str
    version: int
    digest: str


class Labelled(_Frozen):
    """Images of a multi-label model, each of which has any number of the labels that are counted."""

    images: int
    none: int = Field(description="of them, those that have no label")


class Histogram(_Frozen):
    """Images by the probability of their best label; of a multi-label model, labels that images have."""

    bins: tuple[int, ...] = Field(description="of equal width from 0 to 1")


class Confidence(Histogram):
    mean: float | None
    median: float | None


class ExpectedAccuracySummary(_Frozen):
    """How many of the labels are expected to be right: an estimate, which fails under a strong shift."""

    images: int
    accuracy: float
    interval_95: tuple[float, float]


def _is_none(value: object) -> bool:
    return value is None


class DriftScore(_Frozen):
    """How far apart two distributions are.

    Chance is that of samples that have nothing to do with each other; of two runs over the same images it
    makes less.
    """

    psi: float
    by_chance: float = Field(
        description="what the PSI of two samples of one distribution, as large as these, exceeds once in a "
        "hundred times"
    )
    word: str = Field(description="one of DRIFT_WORDS")
    label: str | None = Field(
        None,
        exclude_if=_is_none,
        description="of a multi-label model, the label whose share of the images is furthest off by its "
        "odds; psi is of it",
    )


class _Compared(_Frozen):
    """What a run stands beside; a drift is None where there is nothing to compare."""

    @property
    def drifts(self) -> dict[str, DriftScore]:
        """Of what -> how far, of those that there are."""
        scores = {what: getattr(self, name) for name, what in DRIFTS.items()}
        return {what: score for what, score in scores.items() if score}

    @property
    def worst(self) -> str | None:
        """The word for the largest of the drifts; None where there is none."""
        return max((score.word for score in self.drifts.values()), key=DRIFT_WORDS.index, default=None)


class ImageChanges(_Frozen):
    """How many images are in both runs or in one of them; and which of them are others by now."""

    in_both: int
    new: int
    vanished: int
    image_replaced: int


class LabelChanges(_Frozen):
    """How many images of both runs have another label, or one in one run alone."""

    image_changed: int
    model_changed: int
    lost: int
    gained: int
    changed: int


class LabelPair(_Frozen):
    from_label: str = Field(alias="from")
    to_label: str = Field(alias="to")
    images: int


class ChangedLabel(_Frozen):
    """One image, its key as rows show it."""

    key: str
    from_label: str = Field(alias="from")
    to_label: str = Field(alias="to")
    from_probability: float
    to_probability: float
    image_replaced: bool


class LabelTurns(_Frozen):
    """How many of the images that changed got a label, and how many lost it."""

    label: str
    gained: int
    lost: int


class Changes(_Frozen):
    """What became of each image since the last run. Of a multi-label model the label is the set of them."""

    images: ImageChanges
    labels: LabelChanges
    pairs: tuple[LabelPair, ...] = Field(description="the most frequent ones, most images first")
    examples: tuple[ChangedLabel, ...] = Field(description="the surest ones, best first")
    by_label: tuple[LabelTurns, ...] | None = Field(
        None, exclude_if=_is_none, description="of a multi-label model, the most frequent ones first"
    )


class LastRunSummary(_Compared):
    """The last run, as this one stands beside it."""

    run: str
    model: ModelIdentity | None = None
    labels: dict[str, int]
    abstained: int
    images_per_s: float | None = None
    confidence: Confidence
    drift: DriftScore | None
    confidence_drift: DriftScore | None = None
    abstained_drift: DriftScore | None = None
    changes: Changes
    labelled: Labelled | None = Field(None, exclude_if=_is_none)


class HeldOutSummary(_Compared):
    """The images that the model was released with; older bundles do not tell how sure it was of them."""

    images: int
    labels: dict[str, int]
    abstained: int | None = None
    confidence: Histogram | None = None
    drift: DriftScore | None
    confidence_drift: DriftScore | None = None
    abstained_drift: DriftScore | None = None


class Verification(_Frozen):
    """What a live server said of a sample of the images."""

    target: str
    provider: str
    precision: str
    other_model: str = Field(
        description="in words, how the served model is another than the planned one; empty when it is not"
    )
    asked: int
    changed: int
    gone: int
    unreadable: int = 0
    largest_difference: float
    mismatches: int
    first: str = Field(description="the first mismatch in words")


class BadExample(_Frozen):
    key: str
    error: str


class StageSummary(_Frozen):
    busy_s: float
    utilisation: float


class RunSummary(_Frozen):
    """The content of summary.json; its fields stand there in this order."""

    run: str
    source: str
    model: ModelIdentity
    preprocess_digest: str
    left_out: int
    left_out_kinds: dict[str, LeftOut] = {}
    previous: str | None
    planned: str
    finished: str
    refused: str | None = Field(description="why the run is not accepted")
    images: int
    statuses: dict[str, int]
    scored: int
    carried: int
    labels: dict[str, int]
    abstained: int
    unknown: int | None = Field(None, description="images; none of a run that was not asked")
    confidence: Confidence
    expected_accuracy: ExpectedAccuracySummary | None = Field(
        None, description="none without images, and of older bundles"
    )
    bad_examples: dict[str, tuple[BadExample, ...]] = Field(description="a few of each status but ok")
    seconds: float
    images_per_s: float
    bottleneck: str | None
    knob: str | None
    stages: dict[str, StageSummary]
    last: LastRunSummary | None
    no_last_because: str | None
    held_out: HeldOutSummary | None
    verification: Verification | None
    held_back: str | None = Field(None, description="why latest.json does not name the run")
    labelled: Labelled | None = Field(
        None, exclude_if=_is_none, description="of a multi-label model alone, which never abstains"
    )

    @property
    def bad_images(self) -> int:
        return self.images - self.statuses.get("ok", 0)

    def as_json(self) -> bytes:
        return layout.json_bytes(self.model_dump(by_alias=True))


def read_summary(output: Folder, run: str) -> RunSummary:
    """Raises ObjectMissing, DataInvalid when it cannot be understood."""
    path = f"{layout.run_folder(run)}/{layout.SUMMARY}"
    try:
        return RunSummary.model_validate(json.loads(output.read(path)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
        raise DataInvalid(f"{output.uri}/{path}: not a run's summary: {problem}") from error
    except ValueError as error:
        raise DataInvalid(f"{output.uri}/{path}: not a run's summary: {error}") from error
