"""This run beside the last one, and beside the images that the model was released with."""

import logging
from collections.abc import Callable, Sequence

from fovea.errors import DataInvalid, ObjectMissing
from fovea.model.bundle import CONTRACT_FILE, MODEL_FILE, BundleContract, parse_contract
from fovea.model.distance import predicted_on_held_out, selected_on_held_out
from fovea.stores.folder import Folder
from fovea.stores.storage import open_folder
from scorer.committing.changes import ChangeCounter, ChangedImage, block_of
from scorer.committing.class_distribution import ClassDistribution
from scorer.committing.drift import Reference, drifts
from scorer.committing.last_run import LastRun, find_last_run
from scorer.files.committed import CommittedPart
from scorer.files.plan import Plan, RunSpec
from scorer.files.summary import HeldOutSummary, Histogram, LastRunSummary

logger = logging.getLogger(__name__)


class BesideLastRun:
    """Takes this run's rows as they are read, and reads the last run's beside them."""

    def __init__(self, output: Folder, plan: Plan) -> None:
        last = find_last_run(output, plan)
        self._digest = plan.spec.model_digest
        self._last = None if isinstance(last, str) else last
        self.why_not = last if isinstance(last, str) else None
        """Why nothing is compared; None while something is."""
        self._last_distribution = ClassDistribution()
        blocks = self._last.blocks(self._last_distribution) if self._last else iter(())
        self._changes = ChangeCounter(blocks, is_multi_label=plan.spec.task == "multi")

    def add(self, part: CommittedPart) -> None:
        if self._last:
            self._compare(self._last, lambda: self._changes.add(block_of(part.keys, part.rows)))

    def surest_changes(self) -> list[ChangedImage]:
        """Images whose label changed, for a person to look at; none where nothing could be compared."""
        return self._changes.surest() if self._last else []

    def _compare(self, last: LastRun, step: Callable[[], None]) -> None:
        """A last run that is damaged, or was just removed, must not keep this one from its commit."""
        try:
            step()
        except DataInvalid as error:
            self._last, self.why_not = None, f"rows of the last run, {last.run}, cannot be read: {error}"
            logger.warning("nothing is compared: %s", self.why_not)

    def result(self, distribution: ClassDistribution, classes: Sequence[str]) -> LastRunSummary | None:
        """Once every row was added. `distribution` is this run's; `classes` are all that the model knows.

        None where nothing is compared: `why_not` says why.
        """
        if self._last:
            self._compare(self._last, self._changes.finish)
        if not self._last:
            return None
        last, theirs = self._last, self._last_distribution
        same_model = last.model is not None and last.model.digest == self._digest
        return LastRunSummary(
            run=last.run,
            model=last.model,
            labels=dict(theirs.labels.most_common()),
            abstained=theirs.abstained,
            images_per_s=last.images_per_s,
            confidence=theirs.confidence(),
            **drifts(distribution, Reference.of(theirs, same_model=same_model), classes),
            changes=self._changes.result(),
            labelled=theirs.labelled_summary(last.task),
        )


def beside_held_out(
    distribution: ClassDistribution, contract: BundleContract | None
) -> HeldOutSummary | None:
    """None where the contract is not there any more."""
    if contract is None:
        return None
    metrics = contract.metrics
    counts, images = _on_held_out(contract)
    labels = {label: count for label, count in zip(contract.labels, counts, strict=True) if count}
    reference = Reference(
        labels, metrics.confidences, metrics.abstained, None if contract.task == "single" else images
    )
    return HeldOutSummary(
        images=images,
        labels=labels,
        abstained=metrics.abstained,
        confidence=Histogram(bins=metrics.confidences) if metrics.confidences else None,
        **drifts(distribution, reference, contract.labels),
    )


def _on_held_out(contract: BundleContract) -> tuple[list[int], int]:
    """How often each label was given, and of how many images."""
    if contract.task == "single":
        counts = predicted_on_held_out(contract.labels, contract.metrics).tolist()
        return counts, sum(counts)
    selections = selected_on_held_out(contract.labels, contract.label_metrics, contract.metrics.images)
    return selections.counts.tolist(), selections.images


def read_planned_contract(spec: RunSpec) -> BundleContract | None:
    """Of the planned model, its other files left where they are; None, and a warning, when it is gone."""
    folder = open_folder(spec.models, long_retries=True).folder(str(spec.model_version))
    where = f"{folder.uri}/{CONTRACT_FILE}"
    try:
        contract = parse_contract(folder.read(CONTRACT_FILE), where)
    except ObjectMissing:
        logger.warning("%s is gone: the run is not compared with the held-out images", where)
        return None
    if contract.files[MODEL_FILE] != spec.model_digest:
        logger.warning("%s is of another model by now: the run is not compared with its images", where)
        return None
    return contract
