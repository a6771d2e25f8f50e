"""What captures want to know of an answer: the one label that it gives, or each label that it selects."""

from typing import Any

from fovea.capture.reasons import Rules, margin_of
from fovea.model.bundle import BundleContract
from server.models.model import Classified
from server.models.multi_label import MultiLabel, Row, multi_label_of
from server.rollout.shadow import ShadowAnswer

Indices = frozenset[int]


class SingleLabelAnswers:
    """Of a model whose labels exclude each other."""

    def __init__(self, rules: Rules, labels: tuple[str, ...]) -> None:
        self._rules, self._labels = rules, labels

    def is_any(self, answer: Classified, labels: Indices) -> bool:
        """Whether its label is one of these."""
        return answer.best in labels

    def is_close(self, answer: Classified) -> bool:
        """It is nearly another one."""
        return self._rules.is_close(answer.probabilities, float(answer.probabilities[answer.best]))

    def disagrees(self, answer: Classified, shadow: ShadowAnswer | None) -> bool:
        """The shadow has answered too, and otherwise."""
        if shadow is None:
            return False
        label, selected = self._labels[answer.best], self.selected(answer.probabilities)
        return bool(shadow.disagreed(label, selected))

    def margin(self, probabilities: Row) -> float:
        return margin_of(probabilities)

    def selected(self, probabilities: Row) -> tuple[str, ...] | None:
        """None: it selects none, but gives one."""


class MultiLabelAnswers(SingleLabelAnswers):
    """Of a model that selects any number of them."""

    def __init__(self, rules: Rules, labels: tuple[str, ...], multi: MultiLabel) -> None:
        super().__init__(rules, labels)
        self._multi = multi

    def is_any(self, answer: Classified, labels: Indices) -> bool:
        return not labels.isdisjoint(self._multi.selected(answer.probabilities))

    def is_close(self, answer: Classified) -> bool:
        return self.margin(answer.probabilities) < self._rules.margin

    def margin(self, probabilities: Row) -> float:
        return self._multi.margin(probabilities)

    def selected(self, probabilities: Row) -> tuple[str, ...]:
        """The most probable first."""
        return self._multi.names(probabilities)


def answers_of(contract: BundleContract, rules: Rules) -> SingleLabelAnswers:
    multi, labels = multi_label_of(contract), contract.labels
    return SingleLabelAnswers(rules, labels) if multi is None else MultiLabelAnswers(rules, labels, multi)


def shadow_columns(shadow: ShadowAnswer | None) -> dict[str, Any]:
    """What a captured row has of it."""
    if shadow is None:
        return {}
    told = {"shadow_label": shadow.label, "shadow_probability": shadow.probability}
    return told | {"shadow_version": shadow.version, "shadow_labels": shadow.selected}
