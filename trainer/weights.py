"""What training starts from: ImageNet weights, a file, or a bucket's file. Never a silent random start."""

import re
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor

from fovea.bundle import file_digest
from fovea.errors import DataInvalid, Unavailable
from fovea.storage import LocalFolder, is_bucket, open_folder
from trainer.model import CONTAINERS, Network

WITHIN_CHECKPOINTS: Final = ("network", "state_dict", "model")
"""Where our own and other trainers' checkpoints hold the weights."""


def load_weights(
    network: Network, arch: str, weights: str, sha256: str | None, cache_dir: Path
) -> str | None:
    """Fills the backbone from `weights` (imagenet, none, a file, a URI); the head keeps its random start.

    Returns the file's sha256, None for `none`. Raises DataInvalid when the file is missing, does not have the
    digest or does not fit the architecture, Unavailable when it cannot be fetched.
    """
    if weights == "none":
        return None
    path = _local_file(arch, weights, cache_dir)
    try:
        digest = file_digest(path)
    except OSError as error:
        raise DataInvalid(f"{path}: the weights file cannot be read: {error.strerror}") from error
    if sha256 is not None and digest != sha256:
        raise DataInvalid(f"{path}: its sha256 is {digest}, not the --weights-sha256 {sha256}")
    _fill(network, _read(path), path, arch)
    return digest


def _local_file(arch: str, weights: str, cache_dir: Path) -> Path:
    if weights == "imagenet":
        return _imagenet(arch)
    if is_bucket(weights):
        folder, name = weights.rsplit("/", 1)
        LocalFolder(cache_dir / "weights").write(name, open_folder(folder).read(name))
        return cache_dir / "weights" / name
    path = Path(weights.removeprefix("file://"))
    if not path.is_file():
        raise DataInvalid(
            f"{weights}: no such weights file (--weights takes imagenet, none, a file or a URI)"
        )
    return path


def _imagenet(arch: str) -> Path:
    url = torchvision.models.get_model_weights(arch).DEFAULT.url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[-1])
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            url, str(path), hash_prefix=path.stem.rsplit("-", 1)[-1], progress=False
        )
    except (URLError, OSError, RuntimeError) as error:
        raise Unavailable(
            f"the ImageNet weights of {arch} are not in the cache and cannot be downloaded ({error}): put "
            f"{url} at {path} or give it as --weights FILE; or start from scratch with --weights none"
        ) from error
    return path


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling a file that is no pickle raises a dozen types
        raise DataInvalid(
            f"{path}: neither a safetensors file nor a torch state dict (of a whole pickled model, save the "
            "state_dict)"
        ) from error
    return _state_dict(content, path)


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """The one in a file, which may lie within a checkpoint."""
    for key in WITHIN_CHECKPOINTS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise DataInvalid(f"{path}: holds no state dict of tensors")
    if not all(isinstance(value, Tensor) for value in content.values()):
        raise DataInvalid(f"{path}: holds no state dict of tensors")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _fill(network: Network, state: dict[str, Tensor], path: Path, arch: str) -> None:
    own = network.backbone.state_dict()
    state = {_name_in_backbone(name, own): value for name, value in state.items()}
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    if missing:
        raise DataInvalid(f"{path}: does not fit {arch}: there is no {missing[0]} in it")
    wrong = [n for n, value in own.items() if n in state and state[n].shape != value.shape]
    if wrong:
        shapes = f"{tuple(state[wrong[0]].shape)}, not {tuple(own[wrong[0]].shape)}"
        raise DataInvalid(f"{path}: does not fit {arch}: {wrong[0]} has the shape {shapes}")
    network.backbone.load_state_dict({n: state[n] for n in own if n in state}, strict=False)


def _name_in_backbone(name: str, own: dict[str, Tensor]) -> str:
    """Our checkpoints have a prefix; torchvision's files nest the stages, and densenet's have older names."""
    name = name.removeprefix("backbone.")
    if name in own:
        return name
    name = re.sub(rf"^({'|'.join(CONTAINERS)})\.", r"\1_", name)
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)
