"""Logging for programs: readable lines on a terminal, one JSON object a line elsewhere."""

import ctypes
import json
import logging
import sys
import warnings
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Final, Literal

from fovea.printable import printable

LogFormat = Literal["auto", "text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

OURS: Final = ("fovea", "trainer", "server", "scorer", "__main__")
"""Whose loggers --log-level is for; other libraries' are heard from warnings on."""

_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up(
    level: LogLevel = "info", log_format: LogFormat = "auto", handler: logging.Handler | None = None
) -> None:
    """Sends the log to stderr, or to `handler`; `auto` is text on a terminal and JSON elsewhere.

    `level` is that of our own lines. Other libraries, whose debugging and news are no one's who runs this,
    are heard from warnings on.
    """
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler = handler or logging.StreamHandler(sys.stderr)
    handler.setFormatter(_TextFormatter() if as_text else _JsonFormatter())
    silence_decoders()
    logging.basicConfig(level=max(logging.WARNING, _number(level)), handlers=[handler], force=True)
    for ours in OURS:
        logging.getLogger(ours).setLevel(_number(level))


def _number(level: LogLevel) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def silence_decoders() -> None:
    """Pillow tells of odd metadata in images, in warnings and in errors, which say nothing about our work."""
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    _silence_libtiff()


def _silence_libtiff() -> None:
    """It writes what is wrong with a TIFF to stderr by itself, a line for each row of a damaged fax.

    Where Linux tells which libtiff Pillow brought along; elsewhere it goes on.
    """
    import_module("PIL._imaging")  # loads it
    maps = Path("/proc/self/maps")
    libraries = (
        {line.split()[-1] for line in maps.read_text("utf-8", "replace").splitlines()}
        if maps.exists()
        else set()
    )
    for library in libraries:
        if Path(library).name.startswith("libtiff"):
            ctypes.CDLL(library).TIFFSetErrorHandler(None)


class _JsonFormatter(logging.Formatter):
    """Fields given as `extra=` become keys of their own."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{key}={printable(str(value))}" for key, value in _extra(record).items())
        return f"{super().format(record)}  {extra}".rstrip()

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is its base's)
        record.message = printable(record.message)
        return super().formatMessage(record)


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _RECORD_FIELDS}
