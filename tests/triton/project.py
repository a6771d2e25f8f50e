"""What the tests have the project's own Python do: this one lacks PyTorch, onnx and numpy 2."""

import subprocess
from pathlib import Path

from benchmarks.builds import ROOT
from benchmarks.triton_server import PROJECT_PYTHON
from tests.servers import clean_environment


def publish_tiny(
    models: Path, staging: Path, gain: float = 8.0, labels: str = "red,green,blue", *, multi: bool = False
) -> None:
    """The tiny model of the other tests as the next version under `models`, or its multi-label twin."""
    _run(
        "from pathlib import Path; import sys; from tests import tiny; "
        "_, models, staging, gain, labels, multi = sys.argv; "
        "tiny.publish_bundle(Path(models), Path(staging), gain=float(gain), labels=tuple(labels.split(',')), "
        "embeds=True, multi=bool(multi))",
        *(str(models), str(staging), str(gain), labels, "multi" if multi else ""),
    )


def change_golden_answers(version: Path) -> None:
    """In a bundle that is laid out already."""
    _run(
        "from pathlib import Path; import sys; from fovea.model.bundle import ModelBundle; "
        "from tests.server import spoiled; "
        "spoiled.change_the_golden_answers(ModelBundle.open(Path(sys.argv[1])))",
        str(version),
    )


def train_digits(folder: Path) -> tuple[Path, list[Path]]:
    """As the demo does, for one epoch: the models' folder, and the images that were held out."""
    models, cache = folder / "models" / "digits", folder / "cache"
    options = {"data": "digits", "models": models, "runs": folder / "runs", "cache-dir": cache}
    faster = {"arch": "resnet18", "epochs": 1, "num-steps": 20}
    words = [word for name, value in (options | faster).items() for word in (f"--{name}", str(value))]
    _run_command("-m", "trainer", "train", "--publish-anyway", *words)
    return models, sorted((cache / "digits" / "val").glob("*/*.png"))


def _run(program: str, *arguments: str) -> None:
    _run_command("-c", program, *arguments)


def _run_command(*words: str) -> None:
    command = [str(PROJECT_PYTHON), *words]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
