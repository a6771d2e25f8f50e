"""What LitServe runs: a bundle, by benchmarks/peer_classifier.py, in a process for each core.

    MODELS=models/pets WORKERS=2 python benchmarks/litserve_service.py 8000

In `.venv-litserve`, with this checkout in PYTHONPATH. The body of a request is the image as it came, so that
LitServe parses neither a form nor JSON; the answer is JSON.
"""

import os
import sys
from typing import Annotated, Any

import litserve
from fastapi import Depends, HTTPException, Request

from benchmarks.peer_classifier import PeerClassifier
from fovea.errors import ImageInvalid


async def body(request: Request) -> bytes:
    """In place of what LitServe makes of a request by itself: the fields of a form, or JSON."""
    return await request.body()


class Classify(litserve.LitAPI):  # type: ignore[misc]  # LitServe is in another environment
    """Decodes and classifies an image.

    Without batches, which gained nothing here: two workers that wait for one take 1.9 of two cores while no
    request comes, and 0.2 with a `batch_timeout` of 1 ms.
    """

    def setup(self, device: str) -> None:
        self._classifier = PeerClassifier(os.environ["MODELS"])

    def decode_request(self, request: Annotated[bytes, Depends(body)]) -> bytes:
        return request

    def predict(self, image: bytes) -> dict[str, Any]:
        try:
            return self._classifier.answers([image])[0]
        except ImageInvalid as error:
            raise HTTPException(400, str(error)) from error

    def encode_response(self, answer: dict[str, Any]) -> dict[str, Any]:
        return answer


def main() -> None:
    """With the queue and the HTTP server for each worker that are its defaults.

    `fast_queue`, which is ZeroMQ, and one HTTP server for both workers were no faster.
    """
    server = litserve.LitServer(
        Classify(), accelerator="cpu", workers_per_device=int(os.environ["WORKERS"]), timeout=False
    )
    port = int(sys.argv[1])
    server.run("127.0.0.1", port, log_level="warning", access_log=False, generate_client_file=False)


if __name__ == "__main__":
    main()
