"""Lists what an image holds, as CycloneDX: the Python packages with the hashes of their wheels, and Debian's.

Runs while the image is built, by the Python that has cyclonedx-bom; nothing of either stays in the image.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

Component = dict[str, Any]
DPKG_FIELDS = ("Package", "Version", "Architecture", "source:Package")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environment", type=Path, required=True, help="the Python environment")
    parser.add_argument("--installed", type=Path, required=True, help="what pip --report wrote of it")
    parser.add_argument("--pyproject", type=Path, default="pyproject.toml", help="the project that it is for")
    arguments = parser.parse_args()
    bom = python_packages(arguments.environment, arguments.pyproject)
    add_hashes(bom["components"], json.loads(arguments.installed.read_text()))
    bom["components"] += [interpreter(), *debian_packages()]
    text = json.dumps(bom, indent=1)
    if problem := JsonStrictValidator(SchemaVersion.from_version(bom["specVersion"])).validate_str(text):
        sys.exit(f"the SBOM is not valid CycloneDX {bom['specVersion']}: {problem}")
    print(text)


def python_packages(environment: Path, pyproject: Path) -> dict[str, Any]:
    """A bill of materials of the environment, the same for the same packages."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"]
    command += ["--pyproject", str(pyproject), str(environment)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    bom: dict[str, Any] = json.loads(result.stdout)
    return bom


def add_hashes(components: list[Component], report: dict[str, Any]) -> None:
    """Gives each Python package the SHA-256 of the wheel that it was installed from."""
    wheels = {(one["metadata"]["name"], one["metadata"]["version"]): one for one in report["install"]}
    for component in components:
        archive = wheels[component["name"], component["version"]]["download_info"]["archive_info"]
        component["hashes"] = [{"alg": "SHA-256", "content": archive["hashes"]["sha256"]}]


def interpreter() -> Component:
    """The base image's Python, which in some is no package."""
    version = platform.python_version()
    purl = PackageURL("generic", None, "python", version).to_string()
    return {"type": "platform", "bom-ref": purl, "name": "python", "version": version, "purl": purl}


def debian_packages() -> Iterator[Component]:
    """The base image's packages, if it is made of Debian's."""
    if not shutil.which("dpkg-query"):
        return
    fields = "\t".join(f"${{{field}}}" for field in DPKG_FIELDS)
    listing = subprocess.run(  # noqa: S603
        ["dpkg-query", "--show", "--showformat", fields + "\n"],  # noqa: S607
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    release = platform.freedesktop_os_release()
    distro = f"{release['ID']}-{release['VERSION_ID']}"
    for line in sorted(listing.stdout.splitlines()):
        name, version, architecture, source = line.split("\t")
        qualifiers = {"arch": architecture, "distro": distro, "upstream": source}
        purl = PackageURL("deb", release["ID"], name, version, qualifiers).to_string()
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    main()
