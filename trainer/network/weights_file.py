"""Reads a weights file without running code from it, and finds the state dict within its checkpoint."""

import logging
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from fovea.errors import DataInvalid

logger = logging.getLogger(__name__)

AVERAGED: Final = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
"""Averaged weights, which their trainer would evaluate: taken before the others, as timm does."""
WITHIN_CHECKPOINTS: Final = (
    *("network", *AVERAGED, "state_dict", "model", "model_state_dict", "model_state"),
    *("module", "net", "weights"),
)
"""Where our own and other trainers' checkpoints hold the weights."""
_DEEPEST = 3


class _InertObject:
    """Stands for an object of a class that is not loaded: a path, arguments. It keeps nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> "_InertObject":
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Raises DataInvalid when it is neither a safetensors file nor a torch file with a state dict in it."""
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load(path)
    except Exception as error:  # unpickling a file that is no pickle raises a dozen types
        raise DataInvalid(f"{path}: neither a safetensors file nor a torch state dict") from error
    if isinstance(content, _InertObject):
        raise DataInvalid(
            f"{path}: a whole pickled {type(content).__name__}, whose code is not run: where it loads, save "
            "the weights alone with torch.save(model.state_dict(), FILE) (of a fastai Learner, with "
            "learn.save(NAME))"
        )
    state_found = _find_state(content, _DEEPEST)
    if state_found is None:
        raise DataInvalid(f"{path}: holds no state dict of tensors{_outline(content)}")
    if state_found[0]:
        logger.info("the weights are those under %s in %s", " and ".join(state_found[0]), path)
    return state_found[1]


def _load(path: Path) -> Any:
    """With weights_only: nothing but tensors and plain containers is made. Objects of other classes, such as
    the optimizer's lists that fastai saves and Lightning's paths, become inert ones of ours."""
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path) if _is_zip(path) else []
    substitutes: list[Any] = [(type(name, (_InertObject,), {}), name) for name in names]
    with torch.serialization.safe_globals(substitutes):
        return torch.load(path, map_location="cpu", weights_only=True)


def _is_zip(path: Path) -> bool:
    """What torch writes since 1.6."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _find_state(content: object, depth: int) -> tuple[tuple[str, ...], dict[str, Tensor]] | None:
    """(the keys that lead to it, the state dict): by the names that trainers use, else the only one."""
    if not isinstance(content, dict) or not content:
        return None
    state = {str(name): value for name, value in content.items() if not str(name).endswith("_extra_state")}
    if state and all(isinstance(value, Tensor) for value in state.values()):
        return (), state
    if depth == 0:
        return None
    known = [key for key in WITHIN_CHECKPOINTS if key in content]
    for key in known:
        state_found = _find_state(content[key], depth - 1)
        if state_found:
            return (key, *state_found[0]), state_found[1]
    others = [(str(key), _find_state(value, 0)) for key, value in content.items() if key not in known]
    states = [(key, state_found) for key, state_found in others if state_found]
    return ((states[0][0],), states[0][1][1]) if len(states) == 1 else None


def _outline(content: object) -> str:
    if not isinstance(content, dict) or not content:
        return ""
    keys = [str(key) for key in content]
    more = f" and {len(keys) - 6} more" if len(keys) > 6 else ""
    return f" (its keys are {', '.join(keys[:6])}{more})"
