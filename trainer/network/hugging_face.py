"""timm's own weights, where timm says that they are: on Hugging Face."""

import logging
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import Final
from urllib.parse import urlsplit

from fovea import daemons
from fovea.errors import SettingsInvalid, Unavailable
from fovea.stores.patience import store_called
from trainer.network.timm_networks import pretrained

WEIGHTS_FILE: Final = "model.safetensors"


def timm_weights(arch: str) -> Path:
    """The file of timm's own weights, from Hugging Face's cache or downloaded to it.

    Raises SettingsInvalid where timm has none, Unavailable where they cannot be had.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    logging.getLogger("huggingface_hub").handlers.clear()  # its own lines beside those of our log
    repository = pretrained(arch).hf_hub_id
    if not repository:
        raise SettingsInvalid(
            f"--weights imagenet: timm has no weights of {arch}; it should be a file, a URI or none"
        )
    try:
        site = urlsplit(hf_hub_url(repository, WEIGHTS_FILE)).netloc
        return store_called(site).ask(partial(_fetch, repository), _is_away)
    except Exception as error:  # of its HTTP client's types too, which differ by version
        cause = error.__cause__ or error
        reason = next(iter(str(cause).splitlines()), type(cause).__name__)
        raise Unavailable(
            f"the weights of {arch} are not in the cache and cannot be downloaded ({reason}): give the file "
            f"{WEIGHTS_FILE} of https://huggingface.co/{repository} as --weights FILE; or start from scratch "
            "with --weights none"
        ) from error


def _fetch(repository: str) -> Path:
    """The newest where the site answers, else what is in the cache."""
    from huggingface_hub import hf_hub_download

    try:
        _knock(repository)
    except Exception as error:
        try:
            return Path(hf_hub_download(repository, WEIGHTS_FILE, local_files_only=True))
        except Exception:  # it is not there: what is of interest is why it did not come
            raise error from error.__cause__
    return Path(hf_hub_download(repository, WEIGHTS_FILE))


def _knock(repository: str) -> None:
    """Raises where the site does not answer: a download would ask it again and again, for half a minute, and
    for some where packets are dropped."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url, within_s = hf_hub_url(repository, WEIGHTS_FILE), constants.HF_HUB_ETAG_TIMEOUT
    answer = daemons.begin(lambda: get_hf_file_metadata(url))
    if not wait([answer], within_s).done:  # its own timeout is for each of the site's addresses
        raise TimeoutError(f"no answer within the {within_s:g} s of HF_HUB_ETAG_TIMEOUT")
    answer.result()


def _is_away(error: Exception) -> bool:
    """Nobody answered, or only to say that it is busy."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        status: int = error.response.status_code
        return status in {408, 429} or status >= 500
    return not isinstance(error, OfflineModeIsEnabled) and not _is_untrusted(error)


def _is_untrusted(error: BaseException | None) -> bool:
    """Its client wraps the error that says so."""
    while error is not None and not isinstance(error, SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
