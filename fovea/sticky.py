"""By what a call says who it is for, where two versions of a model share the calls."""

from typing import Final

STICKY_KEY: Final = "fovea-sticky-key"
"""In gRPC's metadata, and as HTTP's header: calls with the same key are answered by the same version."""
