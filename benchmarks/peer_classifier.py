"""What the workers of another server run: our image path and our classifier, in a process for each core.

So decoding and computing cost what they cost in our server, and what differs is the serving. Nothing here
needs more than benchmarks/peer_requirements.txt.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fovea.images.preprocess import decode_image
from fovea.model import versions
from fovea.model.classifier import Classifier, SessionOptions


class PeerClassifier:
    """A model of one thread, and how its images are decoded."""

    def __init__(self, models: str) -> None:
        bundle = versions.fetch(str(Path(models)))
        self._spec = bundle.contract.preprocess
        self._classifier = Classifier(bundle, "cpu", options=SessionOptions(threads=1))

    def answers(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        """What becomes JSON, for each of the files that came together. Raises ImageInvalid."""
        crops = np.stack([decode_image(image, self._spec) for image in images])
        labels = self._classifier.labels
        return [
            {"label": labels[int(row.argmax())], "probabilities": row.tolist()}
            for row in self._classifier.classify(crops)
        ]
