"""Which packages the machine lacks, and so are brought as wheels."""

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

CONSTRAINTS: Final = Path(__file__).parents[2] / "constraints.txt"
BROUGHT: Final = (
    *(
        "annotated-types",
        "pydantic",
        "pydantic-core",
        "pydantic-settings",
        "python-dotenv",
        "typing-inspection",
    ),
    *("grpcio", "grpcio-health-checking", "grpcio-reflection", "grpcio-status", "googleapis-common-protos"),
    *("protobuf", "obstore", "onnxruntime-gpu", "prometheus-client", "rich", "typing-extensions"),
    *(
        "aiohttp",
        "aiohappyeyeballs",
        "aiosignal",
        "attrs",
        "frozenlist",
        "idna",
        "multidict",
        "propcache",
        "yarl",
    ),
    "iterative-stratification",
    *("iniconfig", "pluggy", "pytest", "pytest-timeout"),
)
"""Some the machine may have, but none may be older: these are small."""
THERE: Final = frozenset(
    {
        *("torch", "torchvision", "numpy", "pillow", "onnx", "onnxruntime", "onnxscript", "safetensors"),
        *("scikit-learn", "scipy", "pyarrow", "matplotlib", "jinja2", "pyyaml", "packaging", "pygments"),
        "markdown-it-py",
    }
)
"""What a machine for PyTorch has."""
LEFT_OUT: Final = {
    "kubernetes": "only `python -m scorer drive` loads it, which needs a cluster",
    **dict.fromkeys(
        (
            "opentelemetry-exporter-otlp-proto-grpc",
            "opentelemetry-exporter-otlp-proto-http",
            "opentelemetry-sdk",
        ),
        "only a variable of the environment has it loaded, which nothing sets",
    ),
}
PYTHON: Final = "3.12"
GLIBC: Final = (28, 27, 17)
"""Of manylinux, newest first."""


def download(folder: Path) -> None:
    """The wheels of BROUGHT, at the versions of constraints.txt, for the machine's Python."""
    platforms = [f"--platform=manylinux_2_{glibc}_x86_64" for glibc in GLIBC]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp", *platforms),
        *("--platform=manylinux2014_x86_64", f"--dest={folder}", f"--constraint={CONSTRAINTS}", *BROUGHT),
    ]
    subprocess.run(command, check=True)


def unsqueeze(wheel: Path, target: Path) -> None:
    """The same wheel with its files stored as they are: zstd around all of them makes less of it."""
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as stored:
        for entry in source.infolist():
            stored.writestr(entry.filename, source.read(entry))
