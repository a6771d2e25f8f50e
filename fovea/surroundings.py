"""What a program finds around it where it was not made for one: no home, a proxy, a terminal of old."""

import io
import os
import pwd
import sys
from contextlib import suppress

from fovea import proxies


def settle() -> None:
    """Before anything is imported that looks at the environment, or printed."""
    _print_anything()
    _have_a_home()
    proxies.spare_loopback()


def _print_anything() -> None:
    r"""A stream that is not UTF-8 gets `\u2026` for what it lacks; Python would end the program there."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _have_a_home() -> None:
    """Containers run as users that nobody has heard of, in a home that is missing or another's.

    We and the libraries keep caches in it.
    """
    if _name_of_the_user() is None:
        os.environ.setdefault("USER", str(os.getuid()))  # PyTorch names a cache after it
    with suppress(OSError):  # without any folder to write to, whoever needs one says so
        if _home() == "~":
            os.environ["HOME"] = _own_folder()
        if not _has_a_cache():
            os.environ["XDG_CACHE_HOME"] = _own_folder()


def _home() -> str:
    return os.path.expanduser("~")  # noqa: PTH111 - the client loads no pathlib


def _has_a_cache() -> bool:
    """False where the folder for it is another user's, as an image's is for `docker run --user`."""
    if named := os.environ.get("XDG_CACHE_HOME"):
        return os.access(f"{named}/fovea", os.W_OK) or not os.access(f"{named}/fovea", os.F_OK)
    return any(os.access(folder, os.W_OK) for folder in (f"{_home()}/.cache", _home()))


def _name_of_the_user() -> str | None:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None


def _own_folder() -> str:
    """The same in each run, unless someone else has taken its name."""
    import tempfile
    from pathlib import Path

    folder = Path(tempfile.gettempdir(), f"fovea-{os.getuid()}")
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
            return str(folder)
    return tempfile.mkdtemp(prefix="fovea-")
