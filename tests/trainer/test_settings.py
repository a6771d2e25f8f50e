"""The command line, in this process where no signal or exit code of a real one is needed."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import SettingsInvalid
from fovea.settings import as_saved, load
from tests.programs import Program
from trainer.__main__ import SETTINGS
from trainer.config import EvaluateSettings, LrFindSettings, TrainSettings
from trainer.options import DIGITS


def _load(*arguments: str) -> TrainSettings:
    return load(TrainSettings, ["--models", "m", *arguments], "trainer train", SETTINGS.values())


def test_digits_imply_what_suits_them_but_an_option_wins() -> None:
    settings = _load("--data", "digits", "--size", "48", "--resize", "50")
    assert (settings.size, settings.resize) == (48, 50)
    for given in (("--size", "48"), ("--sizes", "32,48")):
        settings = _load("--data", "digits", *given)
        assert (settings.size, settings.resize) == (48, 48)
    assert settings.weights == DIGITS["weights"] == "none"
    assert settings.flip is False
    assert LrFindSettings(data="digits").size == DIGITS["size"]


def test_last_of_the_sizes_is_what_the_model_sees() -> None:
    settings = _load("--data", "folder", "--sizes", "96, 128,160")
    assert (settings.sizes, settings.size, settings.preprocess.resize) == ((96, 128, 160), 160, 183)
    assert TrainSettings(data="a", models="m", sizes=(64, 96)).size == 96


@pytest.mark.parametrize(
    ("given", "sources"),
    [
        ("photos", ["photos"]),
        ("photos, 2025", ["photos, 2025"]),
        ('["photos,a.csv"]', ["photos,a.csv"]),
        ("[x]", ["[x]"]),
    ],
)
def test_data_are_images_and_their_corrections(given: str, sources: list[str]) -> None:
    settings = _load("--data", given, "--data", "a.csv", "--data=b,c.csv")
    assert (settings.source, settings.corrections) == (*sources, ("a.csv", "b,c.csv"))
    alone = _load("--data", given)
    assert [*alone.data] == sources
    for each in (alone, settings):
        saved: dict[str, Any] = as_saved(each)
        assert TrainSettings(**saved).data == each.data


@pytest.mark.parametrize("first", ["photos,fixes.csv", '["photos","fixes.csv"]'])
def test_first_data_may_be_several_before_others(first: str) -> None:
    """As fovea-retrain puts FOVEA_TRAIN_DATA before captures and corrections."""
    settings = _load("--data", first, "--data", "captures", "--data", "c.csv")
    assert settings.data == ("photos", "fixes.csv", "captures", "c.csv")
    saved: dict[str, Any] = as_saved(settings)
    assert TrainSettings(**saved).data == settings.data


def test_a_comma_in_the_only_data_is_part_of_its_name() -> None:
    settings = _load("--data", "photos,a.csv")
    assert settings.data == ("photos,a.csv",)
    saved: dict[str, Any] = as_saved(settings)
    assert TrainSettings(**saved).data == settings.data


def test_data_of_the_environment_have_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_TRAIN_DATA", "digits,s3://bucket/a.csv,b.csv")
    settings = load(LrFindSettings, [], "trainer lr-find", SETTINGS.values())
    assert (settings.source, settings.corrections) == ("digits", ("s3://bucket/a.csv", "b.csv"))
    assert settings.size == DIGITS["size"]
    monkeypatch.setenv("FOVEA_TRAIN_DATA", "photos, 2025")
    assert load(LrFindSettings, [], "trainer lr-find", SETTINGS.values()).source == "photos, 2025"


def test_other_data_keep_the_defaults() -> None:
    settings = _load("--data", "folder")
    assert (settings.size, settings.preprocess.resize, settings.weights) == (224, 256, "imagenet")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lr", "fast"], r"--lr .*auto or a number above 0, not 'fast'"),
        (["--lr", "-1"], r"--lr .*auto or a number above 0"),
        (["--lr", "nan"], r"--lr .*auto or a number above 0"),
        (["--epochs", "0"], r"--epochs .*auto or a whole number from 1"),
        (["--epochs", "1.5"], r"--epochs .*auto or a whole number from 1"),
        (["--arch", "resnet43"], r"--arch .* such as resnet"),
        (["--size", "4"], r"--size "),
        (["--resize", "100"], r"--resize 100 should be at least --size 224"),
        (["--fit", "stretch"], r"--fit .*pad"),
        (["--sizes", "224,128"], r"--sizes .*two or more that rise, from 8 on, as in 128,224, not '224,128'"),
        (["--sizes", "128"], r"--sizes .*two or more that rise"),
        (["--sizes", "4,128"], r"--sizes .*from 8 on"),
        (["--sizes", "128,big"], r"--sizes .*whole number"),
        (["--sizes", "128,4000"], r"--size.* 2048"),
        (["--sizes", "128,224", "--size", "192"], r"--sizes 128,224 should end with --size 192"),
        (["--start-lr", "1", "--end-lr", "0.1"], r"--start-lr 1 should be below --end-lr 0.1"),
        (["--val-fraction", "1"], r"--val-fraction "),
        (["--batch-size", "1"], r"--batch-size "),
        (["--accumulate", "0"], r"--accumulate .*greater than or equal to 1"),
        (["--gamma", "0.9"], r"--gamma 0.9 is of --schedule exp_range, not of onecycle"),
        (["--schedule", "triangular2", "--gamma", "0.9"], r"exp_range, not of triangular2"),
        (["--step-size", "4"], r"--step-size 4 is of --schedule triangular or triangular2 or exp_range, not"),
        (["--schedule", "constant", "--base-lr", "1e-5"], r"--base-lr 1e-05 is of .*, not of constant"),
        (["--schedule", "exp_range", "--gamma", "1.1"], r"--gamma .*less than or equal to 1"),
        (["--schedule", "triangular3"], r"--schedule .*triangular2"),
        (["--mixup", "-0.1"], r"--mixup .*greater than or equal to 0"),
        (["--mixup", "1e-30"], r"--mixup .*should be 0, or 0.001 to 10000"),
        (["--cutmix", "1e39"], r"--cutmix .*should be 0, or 0.001 to 10000"),
        (["--cutmix", "inf"], r"--cutmix .*finite number"),
        (["--ema", "1"], r"--ema .*less than 1"),
        (["--ema", "0"], r"--ema .*greater than 0"),
        (["--log-to", "wandb"], r"--log-to .*tensorboard, mlflow or both.*, not 'wandb'"),
        (["--log-to", "mlflow", "--log-to", "tensorbord"], r"--log-to .*tensorboard, mlflow or both"),
        (["--run-id", "../a"], r"--run-id "),
        (["--weights-sha256", "abc"], r"--weights-sha256 "),
        (["--device", "tpu"], r"--device "),
        (["--data", ""], r"--data .*at least 1 character"),
        (["--models", ""], r"--models .*at least 1 character"),
        (["--end-lr", "inf"], r"--end-lr .*finite number"),
        (["--fallback-lr", "nan"], r"--fallback-lr .*finite number"),
        (["--epoch", "3"], r"no option --epoch; did you mean --epochs"),
    ],
)
def test_wrong_option_is_named_with_what_is_allowed(arguments: list[str], said: str) -> None:
    with pytest.raises(SettingsInvalid, match=said):
        _load("--data", "folder", *arguments)


def test_name_of_what_has_none_is_not_said_to_be_meant() -> None:
    with pytest.raises(SettingsInvalid, match=r"what --bundle says is given without that name"):
        load(EvaluateSettings, ["--bundle", "pets/3", "--data", "a"], "trainer evaluate", SETTINGS.values())


@pytest.mark.parametrize(
    ("command", "first"),
    [
        ("lr-find", ["data"]),
        ("train", ["data", "models"]),
        ("export", ["run", "models"]),
        ("evaluate", ["bundle", "data"]),
        ("labels", ["data"]),
    ],
)
def test_help_begins_with_what_must_be_said_and_ends_with_the_machine(command: str, first: list[str]) -> None:
    names = list(SETTINGS[command].model_fields)
    assert names[: len(first)] == first
    assert names[-5:] == ["device", "threads", "store_patience_s", "log_level", "log_format"]


def _trainer(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return Program(
        "trainer", *arguments, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "said"),
    [
        (["tarin"], {}, 2, "no command 'tarin'"),
        (["train", "--data", "folder"], {}, 2, "--models (or FOVEA_TRAIN_MODELS) is missing"),
        (["lr-find"], {"FOVEA_TRAIN_EPOCH": "3"}, 2, "FOVEA_TRAIN_EPOCH is not a setting"),
        (
            ["lr-find", "--data", "no/such/folder", "--weights", "none"],
            {},
            65,
            "no/such/folder: no such folder",
        ),
    ],
)
def test_wrong_call_ends_in_one_line_and_its_code(
    arguments: list[str], variables: dict[str, str], code: int, said: str
) -> None:
    process = _trainer(*arguments, **variables)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code
    assert errors.count("\n") == 1
    assert said in errors


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [(signal.SIGTERM, 143, "error: stopped by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
def test_signal_ends_a_training_with_its_code(
    sent: signal.Signals, code: int, said: str, few_digits: Path, tmp_path: Path
) -> None:
    arguments = [
        *("train", "--data", str(few_digits), "--models", str(tmp_path / "models"), "--weights", "none"),
        *("--arch", "shufflenet_v2_x0_5", "--size", "32", "--batch-size", "8", "--lr", "1e-3"),
        *("--epochs", "10000", "--runs", str(tmp_path / "runs"), "--run-id", "a"),
        *("--cache-dir", str(tmp_path / "cache"), "--threads", "1"),
    ]
    process = _trainer(*arguments)
    assert process.stdout is not None
    assert '"epoch": 1' in process.stdout.readline()
    process.send_signal(sent)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == code
    assert errors.splitlines()[-1] == said
    assert (tmp_path / "runs" / "a" / "checkpoint.pt").is_file()
    assert not (tmp_path / "models").exists()
    assert not list((tmp_path / "runs" / "a").glob(".*"))
