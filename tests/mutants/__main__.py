"""`make mutants`: puts the tests of rooms to the test, see `run`."""

import sys
from importlib.util import find_spec
from typing import Final

from fovea.errors import ExitCode

NEEDED: Final = {"cosmic_ray": "cosmic-ray", "coverage": "coverage"}
"""Packages beyond those of development, by their modules."""


def main() -> int:
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        needed = " and ".join(missing)
        print(f"python -m tests.mutants needs {needed}, which `make mutants` installs first", file=sys.stderr)
        return ExitCode.UNAVAILABLE
    from tests.mutants import run  # imports them

    return run.main()


if __name__ == "__main__":
    sys.exit(main())
