"""Those that --log-to names, each checked before anything is computed for it."""

import os
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fovea.errors import SettingsInvalid
from trainer.tracking.standing import Tracker
from trainer.tracking.tracking import reason, without_credentials

OLDEST_MLFLOW: Final = 3
DATABASES: Final = ("sqlite", "postgresql", "mysql", "mssql")
EVENT_FILES: Final = "tensorboard"
FOLDERS: Final = (EVENT_FILES,)
"""In a run's folder, of trackers."""
HABITS: Final = {
    # A server that is away must not cost minutes: what it missed is told with the next epoch.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    # It would draw from the generator that the training's randomness comes from.
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    # Our stdout and stderr are read by programs; and nobody else is told anything.
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Of MLflow, where the environment says nothing else. It reads them when it is imported, and at each call."""


def trackers(names: tuple[str, ...], run: Path) -> list[Tracker]:
    """Of a run in that folder. `check` has passed."""
    return [_event_files(run) if name == "tensorboard" else _mlflow_run() for name in names]


def check(names: tuple[str, ...]) -> None:
    """Raises SettingsInvalid where a package is missing, or MLflow is not told where to. Contacts nobody."""
    if "tensorboard" in names:
        _check_tensorboard()
    if "mlflow" in names:
        _check_mlflow()


def _event_files(run: Path) -> Tracker:
    from trainer.tracking.event_files import EventFiles

    return EventFiles(run / EVENT_FILES)


def _mlflow_run() -> Tracker:
    from trainer.tracking.mlflow_run import MlflowRun

    return MlflowRun(os.environ["MLFLOW_TRACKING_URI"])


def _check_tensorboard() -> None:
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise _missing("tensorboard", "tensorboard is missing") from error


def _check_mlflow() -> None:
    found = _mlflow_version()
    if found is None or int(found.split(".")[0]) < OLDEST_MLFLOW:
        raise _missing("mlflow", f"mlflow {found} is too old" if found else "mlflow is missing")
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        raise SettingsInvalid(
            "--log-to mlflow: MLFLOW_TRACKING_URI is not set; it should say where to, as in http://mlflow:5000"
        )
    where = f"--log-to mlflow: MLFLOW_TRACKING_URI is {without_credentials(uri)}"
    if uri.startswith(DATABASES) and not find_spec("sqlalchemy"):
        raise SettingsInvalid(f"{where}: a database needs the whole of mlflow: pip install 'mlflow>=3'")
    for name, value in HABITS.items():
        os.environ.setdefault(name, value)
    if uri.startswith(DATABASES):
        return  # to open one may mean to make its tables
    try:
        _mlflow_run()
    except Exception as error:  # MLflow's own, of more kinds than it tells
        raise SettingsInvalid(f"{where}: {reason(error)}") from error


def _mlflow_version() -> str | None:
    """Without importing it: one of 2022, that pip may have taken, could not be."""
    for package in ("mlflow-skinny", "mlflow"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def _missing(extra: str, what: str) -> SettingsInvalid:
    return SettingsInvalid(f"--log-to {extra}: {what}: pip install 'fovea-vision[{extra}]'")
