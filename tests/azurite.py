"""A real Azure Blob endpoint on loopback for tests: Azurite, from npm, which takes some 20 seconds."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fovea.stores.azure import _EMULATED

VERSION = "3.37.0"


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """Installed and run in the folder; yields the connection string."""
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", f"azurite@{VERSION}"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=240)
    program = folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry"]
    command = ["node", str(program), *options, "--skipApiVersionCheck"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}
    ) as process:
        try:
            assert process.stdout
            listening = (re.search(r"listens on (http://\S+)", line) for line in process.stdout)
            url = next(match[1] for match in listening if match)
            known = {**_EMULATED, "BlobEndpoint": f"{url}/{_EMULATED['AccountName']}"}
            yield ";".join(f"{name}={value}" for name, value in known.items())
        finally:
            process.terminate()
