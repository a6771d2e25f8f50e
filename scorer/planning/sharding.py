"""A plan's images are put into shards: contiguous ranges of the keys, bounded by count and by bytes.

Each shard has a manifest file of its own, so neither planning nor scoring holds more than one shard's keys.
"""

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fovea.stores.folder import Folder
from scorer.files import layout
from scorer.files.manifest import ManifestWriter, PlannedImage
from scorer.files.plan import PlannedShard


@dataclass(frozen=True)
class ShardLimits:
    """Of each shard: how many images, and how many bytes that are to be fetched, unless it is one image."""

    images: int
    fetch_bytes: int


def write_shards(
    output: Folder, run: str, images: Iterable[PlannedImage], limits: ShardLimits, max_image_bytes: int
) -> Iterator[PlannedShard]:
    """Writes the manifest of each shard, and yields the shard.

    At least one, so that a run of nothing still leaves a file that says so. Carried images, and those of more
    than `max_image_bytes`, are not fetched. Raises Unavailable, and what `images` does.
    """
    # Two planners of one run must not write over each other's manifests: plan.json says whose are right.
    planner = secrets.token_hex(4)
    index, shard = 0, _OpenShard()
    for image in images:
        fetched = image.carried is None and image.entry.size <= max_image_bytes
        fetch_bytes = image.entry.size if fetched else 0
        too_large = shard.fetch_bytes and shard.fetch_bytes + fetch_bytes > limits.fetch_bytes
        if shard.images >= limits.images or too_large:
            yield shard.write_to(output, run, index, planner)
            index, shard = index + 1, _OpenShard()
        shard.add(image, fetch_bytes)
    yield shard.write_to(output, run, index, planner)


class _OpenShard:
    """The shard that images are being put into."""

    def __init__(self) -> None:
        self.images = self.size_bytes = self.fetch_bytes = self._carried = 0
        self._manifest = ManifestWriter()

    def add(self, image: PlannedImage, fetch_bytes: int) -> None:
        self._manifest.add(*image)
        self.images += 1
        self.size_bytes += image.entry.size
        self.fetch_bytes += fetch_bytes
        if image.carried:
            self._carried += 1

    def write_to(self, output: Folder, run: str, index: int, planner: str) -> PlannedShard:
        path = f"{layout.plan_folder(run)}/manifest-{index:05}-{planner}.parquet"
        self._manifest.write_to(output, path)
        return PlannedShard(
            index=index,
            manifest=path,
            images=self.images,
            size_bytes=self.size_bytes,
            fetch_bytes=self.fetch_bytes,
            carried=self._carried,
        )
