"""What becomes of an image once it is answered: another version answers it too, it is captured, or both."""

from fovea.model.bundle import BundleContract
from server.compute.backend import WorkItem
from server.models.captures import Content, ModelCaptures, to_keep
from server.models.model import Classified
from server.models.multi_label import multi_label_of
from server.rollout.shadow import AnsweredImage, Shadow, ShadowAnswer


class Afterwards:
    """Of one version's images. Belongs to the event loop that serves."""

    def __init__(
        self, contract: BundleContract, captures: ModelCaptures | None, shadow: Shadow | None
    ) -> None:
        self._contract, self._multi = contract, multi_label_of(contract)
        self._captures = captures
        self._shadow = shadow

    def remember(self, item: WorkItem) -> None:
        """What it came as, where that is of use later: a crop is no file, and is not captured."""
        if self._shadow is not None or (self._captures is not None and not item.is_crop):
            item.came = item.content

    def answered(self, item: WorkItem, content: Content, answer: Classified) -> None:
        """`content` is what `remember` did. Raises nothing: the call has its answer already."""
        captures = None if item.is_crop else self._captures
        if self._shadow is None or not self._shadow.draws(self._contract.version):
            if captures is not None:
                captures.offer(content, answer)
            return
        kept, spec = to_keep(content), self._contract.preprocess if item.is_crop else None
        label, probability = self._contract.labels[answer.best], float(answer.probabilities[answer.best])
        selected = self._multi.names(answer.probabilities) if self._multi else None

        def capture(shadow: ShadowAnswer | None) -> None:
            # Not before: it is offered once, for whatever speaks for it by then.
            if captures is not None:
                captures.offer(kept, answer, shadow)

        self._shadow.offer(AnsweredImage(kept, spec, label, probability, selected), capture)
