"""The errors that Fovea's programs end with, and the exit code of each.

An error's text is one line for a person: it names the input, what is wrong and what would be right.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a program's exit status says; Kubernetes' podFailurePolicy in deploy/ is built on these."""

    DONE = 0
    BUG = 1
    USAGE = 2
    BAD_DATA = 65
    UNAVAILABLE = 69
    INTERRUPTED = 130
    TERMINATED = 143


class FoveaError(Exception):
    """A failure that was foreseen: its text goes to stderr alone, without a traceback."""

    exit_code = ExitCode.BUG


class SettingsInvalid(FoveaError):
    """A flag, an environment variable or a command is wrong."""

    exit_code = ExitCode.USAGE


class DataInvalid(FoveaError):
    """The data is missing, empty or bad: trying again with the same data cannot help."""

    exit_code = ExitCode.BAD_DATA


class ImageInvalid(DataInvalid):
    """These bytes are not an image that Fovea classifies.

    `reason` is one of the short words of `fovea.images.preprocess.REASONS`; the text says more.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BundleInvalid(DataInvalid):
    """A model bundle is missing, incomplete, changed, or does not compute what it should."""


class GateRefused(DataInvalid):
    """A trained model did not pass the release gate, so nothing was published."""


class Unavailable(FoveaError):
    """Something that is needed cannot be reached or is taken; the same call may succeed later."""

    exit_code = ExitCode.UNAVAILABLE


class ExtraMissing(Unavailable):
    """A package is not installed that only this use needs."""


def extra_missing(error: ModuleNotFoundError, use: str, extra: str) -> ExtraMissing:
    """Says which module the `use` needs, and the extra of our distribution that brings it."""
    return ExtraMissing(f"{error.name} is missing, which {use} needs: pip install 'fovea-vision[{extra}]'")


class ObjectMissing(DataInvalid):
    """There is nothing under this key."""


class ObjectChanged(DataInvalid):
    """The object under this key is another than the one that was asked for."""


class ObjectUnreadable(DataInvalid):
    """The store has this object and does not give it: it is archived, or its key cannot be asked for."""


class Terminated(BaseException):
    """SIGTERM came, and the program stopped after saving what it had.

    Like KeyboardInterrupt it is no Exception: it may be raised anywhere, and what handles a failure there,
    ours or a library's, must not take it for one.
    """

    exit_code = ExitCode.TERMINATED
