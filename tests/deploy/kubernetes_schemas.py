"""The schemas of Kubernetes, of which each release has megabytes."""

import json
from functools import cache
from unittest.mock import patch

import kubernetes_validate
from kubernetes_validate import utils

OLDEST = "1.31"
"""podFailurePolicy and unhealthyPodEvictionPolicy are stable since, and preStop's sleep is on by default."""
VERSIONS = (OLDEST, kubernetes_validate.latest_version())

_read_once = cache(utils.schema_contents)


@cache
def validate(manifest: str, version: str, *, strict: bool = True) -> None:
    """A manifest in JSON. Once for each text: most compositions share most of their manifests."""
    with patch.object(utils, "schema_contents", _read_once):
        kubernetes_validate.validate(json.loads(manifest), version, strict=strict)
