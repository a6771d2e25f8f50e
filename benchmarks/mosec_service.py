"""What mosec runs: a bundle, by benchmarks/peer_classifier.py, in a process for each core.

    MODELS=models/pets WORKERS=2 MAX_BATCH_SIZE=16 python benchmarks/mosec_service.py --port 8000

In `.venv-mosec`, with this checkout in PYTHONPATH. The body of a request is the image as it came; the answer
is JSON.
"""

import os
from typing import Any, Final

from mosec import Server, ValidationError, Worker

from benchmarks.peer_classifier import PeerClassifier
from fovea.errors import ImageInvalid

MAX_WAIT_MS: Final = 1
"""The least that it takes. A batch that is not full waits so long, that of a lone image too."""


class Classify(Worker):  # type: ignore[misc]  # mosec is in another environment
    """Decodes and classifies the images that came together."""

    def __init__(self) -> None:
        super().__init__()
        self._classifier = PeerClassifier(os.environ["MODELS"])

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: Any) -> Any:
        """Takes a list and gives one; without batching, one image and its answer."""
        return self._answers(data) if self.max_batch_size > 1 else self._answers([data])[0]

    def _answers(self, data: list[bytes]) -> list[dict[str, Any]]:
        try:
            return self._classifier.answers(data)
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
