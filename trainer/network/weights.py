"""What training starts from: ImageNet weights, a file, or a bucket's file. Never a silent random start."""

from functools import partial
from pathlib import Path
from ssl import SSLCertVerificationError
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import torch
import torchvision
from torch import Tensor

from fovea.errors import DataInvalid, Unavailable
from fovea.model.bundle import file_digest
from fovea.proxies import http_proxy, way_of
from fovea.stores.patience import store_called
from fovea.stores.storage import LocalFolder, is_bucket, open_folder
from trainer.network.hugging_face import timm_weights
from trainer.network.model import Network
from trainer.network.weight_names import NameMatch, describe_weights, fitted, match_names
from trainer.network.weights_file import read_state_dict
from trainer.options.architectures import is_timm


def load_weights(
    network: Network, arch: str, weights: str, sha256: str | None, cache_dir: Path
) -> str | None:
    """Fills the backbone from `weights` (imagenet, none, a file, a URI); the head keeps its random start.

    Returns the file's sha256, None for `none`. Raises DataInvalid when the file is missing, does not have the
    digest or does not fit the architecture (names missing, names over, other shapes; the head's aside),
    Unavailable when it cannot be fetched.
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
    _load_backbone(network, read_state_dict(path), path, arch)
    return digest


def _local_file(arch: str, weights: str, cache_dir: Path) -> Path:
    if weights == "imagenet":
        return timm_weights(arch) if is_timm(arch) else _imagenet(arch)
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
        digest = path.stem.rsplit("-", 1)[-1]
        download = partial(torch.hub.download_url_to_file, url, str(path), digest, progress=False)
        store_called(urlsplit(url).netloc).ask(download, _is_away)
    except (URLError, OSError, RuntimeError) as error:
        reason = f"{error}{way_of(http_proxy(url))}"
        raise Unavailable(
            f"the ImageNet weights of {arch} are not in the cache and cannot be downloaded ({reason}): put "
            f"{url} at {path} or give it as --weights FILE; or start from scratch with --weights none"
        ) from error
    return path


def _is_away(error: Exception) -> bool:
    """Nobody answered, or only to say that it is busy."""
    if isinstance(error, HTTPError):
        return error.code in {408, 429} or error.code >= 500
    untrusted = isinstance(error, URLError) and isinstance(error.reason, SSLCertVerificationError)
    return isinstance(error, (URLError, ConnectionError, TimeoutError)) and not untrusted


def _load_backbone(network: Network, state: dict[str, Tensor], path: Path, arch: str) -> None:
    matches = match_names(state, network.backbone)
    if len(matches) > 1:
        parts = " and ".join(match.part.rstrip(".") or "the names as they are" for match in matches)
        raise DataInvalid(
            f"{path}: holds more than one network that fits {arch} ({parts}): save the state_dict of one"
        )
    if not matches[0].complete:
        raise DataInvalid(f"{path}: does not fit {arch}: {_describe_misfit(network, state, matches[0])}")
    own = {name: value.shape for name, value in network.backbone.state_dict().items()}
    values = {name: fitted(name, state[theirs], own[name]) for name, theirs in matches[0].names.items()}
    network.backbone.load_state_dict(values, strict=False)


def _describe_misfit(network: Network, state: dict[str, Tensor], match: NameMatch) -> str:
    """What is wrong, and what it is instead."""
    description = describe_weights(state)
    if match.missing:
        return f"there is no {match.part}{match.missing[0]} in it; {description}"
    if match.misshapen:
        name = match.misshapen[0]
        own = network.backbone.state_dict()
        shapes = f"{tuple(state[match.names[name]].shape)}, not {tuple(own[name].shape)}"
        return f"{match.names[name]} has the shape {shapes}; {description}"
    many = f"{len(match.surplus)} names" if len(match.surplus) > 1 else "a name"
    return f"it has {many} that the network has not, such as {match.surplus[0]}; {description}"
