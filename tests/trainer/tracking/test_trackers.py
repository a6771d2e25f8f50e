"""What --log-to needs is looked for before anything is computed."""

import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from fovea.errors import SettingsInvalid
from tests.trainer.conftest import train_settings
from trainer import job
from trainer.tracking import trackers


def refusal(data: Path, root: Path, log_to: str) -> str:
    """Of a training that would begin else; nothing is written."""
    root /= "work"
    root.mkdir(exist_ok=True)
    with pytest.raises(SettingsInvalid) as refused:
        job.train(train_settings(data, root, log_to=log_to))
    assert not list(root.iterdir())
    return str(refused.value)


def test_missing_tensorboard_is_refused_with_what_brings_it(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    assert refusal(few_digits, tmp_path, "tensorboard") == (
        "--log-to tensorboard: tensorboard is missing: pip install 'fovea-vision[tensorboard]'"
    )


def test_mlflow_that_is_missing_or_too_old_is_refused_with_what_brings_it(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    for version, said in ((missing, "mlflow is missing"), (lambda _: "1.27.0", "mlflow 1.27.0 is too old")):
        monkeypatch.setattr(trackers, "version", version)
        assert refusal(few_digits, tmp_path, "tensorboard,mlflow") == (
            f"--log-to mlflow: {said}: pip install 'fovea-vision[mlflow]'"
        )


@pytest.mark.usefixtures("store")
def test_place_that_mlflow_does_not_take_is_refused(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uri, said in (
        ("", "not set; it should say where to"),
        ("ftp://me:secret@host/x", "ftp://host/x: .*unsupported URI"),
        ("sqlite:///m.db", "sqlite:///m.db: a database needs the whole of mlflow: pip install 'mlflow>=3'$"),
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setattr(trackers, "find_spec", lambda _: None)
        text = refusal(few_digits, tmp_path, "mlflow")
        assert re.match(f"--log-to mlflow: MLFLOW_TRACKING_URI is {said}", text), text
        assert "secret" not in text
        assert "\n" not in text
