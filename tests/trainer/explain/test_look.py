"""`look`: a page of what a trained network sees in any image."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from fovea.errors import DataInvalid, ImageInvalid
from fovea.images.preprocess import decode_image
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from tests import programs
from tests.buckets import Bucket
from trainer.config import LookSettings
from trainer.explain import command, explanation
from trainer.runs.run_folder import RELEASED_FILE

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _one_thread_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "available_cpus", lambda: 1)


@pytest.fixture(scope="session")
def one(few_digits: Path) -> Path:
    """A held-out image of a 1."""
    return min((few_digits / "val" / "1").iterdir())


def _look(image: Path | str, run: Path, output: Path) -> str:
    command.look(LookSettings(image=str(image), run=run, output=output))
    return (output / f"{Path(image).name}.html").read_text()


def test_page_holds_all_that_there_is_to_see(
    one: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = _look(one, trained / "runs" / "a", tmp_path / "seen")
    for part in ("Where it looks", "What it looks for first", "layer2", "3&nbsp;×&nbsp;3, step by step"):
        assert part in page
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("%  1")
    assert said[-1] == str(tmp_path / "seen" / f"{one.name}.html")


def test_probabilities_are_those_that_the_released_model_serves(
    one: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = ModelBundle.open(trained / "models" / "tiny" / "1")
    pixels = decode_image(one.read_bytes(), bundle.contract.preprocess)
    served = Classifier(bundle, provider="cpu", threads=1).classify(pixels[None])[0].max()
    page = _look(one, trained / "runs" / "a", tmp_path)
    assert f"{served:7.2%}  1" in capsys.readouterr().out
    assert "Calibrated as in the released model" in page


def test_checkpoint_beside_a_bundle_is_calibrated_as_the_bundle(
    one: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained / "runs" / "a"
    _look(one, run, tmp_path)
    of_the_run = capsys.readouterr().out.splitlines()[0]
    bundle = Path(shutil.copytree(trained / "models" / "tiny" / "1", tmp_path / "bundle"))
    shutil.copy(run / "checkpoint.pt", bundle)
    assert "Calibrated as in the released model" in _look(one, bundle, tmp_path)
    assert capsys.readouterr().out.splitlines()[0] == of_the_run


def test_checkpoint_beside_another_models_bundle_is_refused(
    one: Path, trained: Path, tiny_bundle: ModelBundle, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))
    shutil.copy(trained / "runs" / "a" / "checkpoint.pt", bundle)
    with pytest.raises(DataInvalid, match=r"checkpoint\.pt and bundle\.json have different labels"):
        _look(one, bundle, tmp_path)


def test_run_that_released_nothing_says_that_it_is_not_calibrated(
    one: Path, own_run: Path, tmp_path: Path
) -> None:
    (own_run / RELEASED_FILE).unlink()
    assert "Not calibrated" in _look(one, own_run, tmp_path)


def test_record_of_a_release_without_a_sound_temperature_is_not_calibrated_by(
    one: Path, own_run: Path, tmp_path: Path
) -> None:
    record = json.loads((own_run / RELEASED_FILE).read_text())
    (own_run / RELEASED_FILE).write_text(json.dumps(record | {"temperature": -1.0}))
    assert "Not calibrated" in _look(one, own_run, tmp_path)


def test_image_in_a_bucket_is_looked_at(one: Path, trained: Path, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("photos/one.png", one.read_bytes())
    page = _look(f"{bucket.uri}/photos/one.png", trained / "runs" / "a", tmp_path)
    assert "<h1><bdi>one.png</bdi></h1>" in page


def test_what_is_no_image_is_refused_by_name(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not an image")
    with pytest.raises(ImageInvalid, match=r"a\.png: the bytes are not an image"):
        _look(tmp_path / "a.png", trained / "runs" / "a", tmp_path)


def test_image_that_is_too_large_is_not_even_read(trained: Path, tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(ImageInvalid, match=r"a\.png: it has 1000000000000 bytes, more than"):
        _look(tmp_path / "a.png", trained / "runs" / "a", tmp_path)


def test_name_of_any_characters_is_shown(one: Path, trained: Path, tmp_path: Path) -> None:
    image = shutil.copy(one, tmp_path / "a\n<b>.png")
    page = _look(image, trained / "runs" / "a", tmp_path / "seen")
    assert r"<h1><bdi>a\n&lt;b&gt;.png</bdi></h1>" in page


def test_names_as_long_as_a_file_can_have_get_a_page_each(
    one: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("\u00e9" * 124 + "1.png", "\u00e9" * 124 + "2.png"):
        image = shutil.copy(one, tmp_path / name)
        command.look(LookSettings(image=str(image), run=trained / "runs" / "a", output=tmp_path / "seen"))
    said = [Path(line) for line in capsys.readouterr().out.splitlines() if line.endswith(".html")]
    assert sorted(said) == sorted((tmp_path / "seen").iterdir())
    assert len(set(said)) == 2
    assert said[0].name.startswith("\u00e9" * 90)


def test_released_model_is_told_apart_from_its_run(one: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"--run should be the folder of its run, a$"):
        _look(one, trained / "models" / "tiny" / "1", tmp_path)


def test_ctrl_c_leaves_no_page(
    one: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanation, "explain", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        _look(one, trained / "runs" / "a", tmp_path / "seen")
    assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["a.png", "--run", "."], 65, "error: .: not a training run (there is no checkpoint.pt in it)"),
        (["a.png"], 2, "error: --run (or FOVEA_TRAIN_RUN) is missing: "),
        (["--run", "."], 2, "error: IMAGE (or FOVEA_TRAIN_IMAGE) is missing: "),
        (["a.png", "--run", ".", "--output", "a.png"], 2, "error: --output a.png: "),
        (["a.png", "--classes", "3"], 2, "error: python -m trainer look has no option --classes"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_text("")
    ended = programs.run("trainer", "look", *arguments, timeout=60, cwd=tmp_path)
    assert ended.returncode == code
    assert ended.stderr.startswith(said)
    assert ended.stderr.count("\n") == 1, ended.stderr
