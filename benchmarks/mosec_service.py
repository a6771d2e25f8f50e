"""What mosec runs: a bundle, with our image path and our classifier, in a process for each core.

    MODELS=models/pets WORKERS=2 MAX_BATCH_SIZE=16 python benchmarks/mosec_service.py --port 8000

In `.venv-mosec`, with this checkout in PYTHONPATH. The body of a request is the image as it came; the answer
is JSON. So decoding and computing cost what they cost in our server, and what differs is the serving.
"""

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from mosec import Server, ValidationError, Worker

from fovea.errors import ImageInvalid
from fovea.images.preprocess import Pixels, decode_image
from fovea.model import versions
from fovea.model.classifier import Classifier, SessionOptions

MAX_WAIT_MS: Final = 1
"""The least that it takes. A batch that is not full waits so long, that of a lone image too."""


class Classify(Worker):  # type: ignore[misc]  # mosec is in another environment
    """Decodes and classifies the images that came together."""

    def __init__(self) -> None:
        super().__init__()
        bundle = versions.fetch(str(Path(os.environ["MODELS"])))
        self._spec = bundle.contract.preprocess
        self._classifier = Classifier(bundle, "cpu", options=SessionOptions(threads=1))

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: Any) -> Any:
        """Takes a list and gives one; without batching, one image and its answer."""
        return self._answers(data) if self.max_batch_size > 1 else self._answers([data])[0]

    def _answers(self, data: list[bytes]) -> list[dict[str, Any]]:
        probabilities = self._classifier.classify(np.stack([self._decode(image) for image in data]))
        labels = self._classifier.labels
        return [{"label": labels[int(row.argmax())], "probabilities": row.tolist()} for row in probabilities]

    def _decode(self, image: bytes) -> Pixels:
        try:
            return decode_image(image, self._spec)
        except ImageInvalid as error:
            raise ValidationError(str(error)) from error


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        Classify,
        num=int(os.environ["WORKERS"]),
        max_batch_size=int(os.environ["MAX_BATCH_SIZE"]),
        max_wait_time=MAX_WAIT_MS,
    )
    server.run()
