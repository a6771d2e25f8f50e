"""What captures want to know of an answer: the one label that it gives, or each label that it selects."""

from fovea.capture.reasons import Rules, margin_of
from fovea.model.bundle import BundleContract
from server.models.model import Classified
from server.models.multi_label import MultiLabel, Row, multi_label_of

Indices = frozenset[int]


class SingleLabelAnswers:
    """Of a model whose labels exclude each other."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def is_any(self, answer: Classified, labels: Indices) -> bool:
        """Whether its label is one of these."""
        return answer.best in labels

    def is_close(self, answer: Classified) -> bool:
        """It is nearly another one."""
        return self._rules.is_close(answer.probabilities, float(answer.probabilities[answer.best]))

    def margin(self, probabilities: Row) -> float:
        return margin_of(probabilities)

    def selected(self, probabilities: Row) -> tuple[str, ...] | None:
        """None: it selects none, but gives one."""


class MultiLabelAnswers(SingleLabelAnswers):
    """Of a model that selects any number of them."""

    def __init__(self, rules: Rules, multi: MultiLabel) -> None:
        super().__init__(rules)
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
    multi = multi_label_of(contract)
    return SingleLabelAnswers(rules) if multi is None else MultiLabelAnswers(rules, multi)
