"""How much may be in flight at once. What does not fit is refused at once, never made to wait."""

from collections.abc import Iterator
from contextlib import contextmanager

from server.errors import Draining, QueueFull


class Admission:
    """Counts the images in flight, and their bytes, from before they are decoded until they are answered.

    It is the server's own count because gRPC's limit on calls would refuse health checks too.
    Used from the event loop alone.
    """

    def __init__(self, max_images: int, max_bytes: int) -> None:
        self.images = 0
        self.bytes = 0
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._open = True

    @contextmanager
    def admit(self, images: int, size_bytes: int) -> Iterator[None]:
        """Holds room for this many images and bytes. Raises QueueFull or Draining."""
        if not self._open:
            raise Draining("the server is shutting down; another replica will answer")
        if self.images + images > self._max_images:
            raise QueueFull(
                f"{self.images} images are in flight, of {self._max_images}; {images} more do not fit"
            )
        if self.bytes + size_bytes > self._max_bytes:
            raise QueueFull(
                f"{self.bytes} bytes are in flight, of {self._max_bytes}; {size_bytes} more do not fit"
            )
        self.images += images
        self.bytes += size_bytes
        try:
            yield
        finally:
            self.images -= images
            self.bytes -= size_bytes

    def close(self) -> None:
        """From now on nothing is admitted; what is in flight goes on."""
        self._open = False
