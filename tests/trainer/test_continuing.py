"""What a run takes over from the one that it continues."""

from pathlib import Path

import numpy as np
import pytest

from fovea.errors import DataInvalid, SettingsInvalid
from fovea.images.preprocess import decode_image
from fovea.images.spec import PreprocessSpec
from fovea.settings import as_saved, load
from tests.trainer.conftest import train_settings
from trainer import job, preparation
from trainer.config import TrainSettings
from trainer.recipe import check_triangles
from trainer.resuming import check_same, with_continued
from trainer.runs.run_folder import SETTINGS_FILE, RunFolder


def _before(root: Path, *arguments: str) -> Path:
    """The folder of a run that was begun with these options."""
    run = RunFolder(root / "runs" / "before")
    run.make()
    run.write_json(SETTINGS_FILE, as_saved(_load(*arguments)))
    return run.path


def _load(*arguments: str) -> TrainSettings:
    return load(TrainSettings, ["--models", "m", *arguments], "trainer train")


def _continued(run: Path, *arguments: str) -> TrainSettings:
    return with_continued(_load(*arguments, "--continue-from", str(run)))


def test_what_digits_imply_gives_way_to_what_the_run_was_begun_with(tmp_path: Path) -> None:
    run = _before(
        tmp_path, "--data", "digits", "--size", "48", "--resize", "50", "--batch-size", "64", "--flip"
    )
    settings = _continued(run, "--data", "digits")
    assert (settings.size, settings.resize, settings.batch_size, settings.flip) == (48, 50, 64, True)


def test_recipe_and_release_are_taken_over_and_rate_and_epochs_are_not(tmp_path: Path) -> None:
    recipe = ("--schedule", "triangular", "--sampler", "balanced", "--lr", "3e-3", "--epochs", "7")
    release = ("--precisions", "fp32,int8", "--target-precision", "0.9")
    run = _before(tmp_path, "--data", "photos", *recipe, *release)
    settings = _continued(run, "--data", "photos")
    assert (settings.precisions, settings.target_precision) == (("fp32", "int8"), 0.9)
    assert (settings.schedule, settings.sampler) == ("triangular", "balanced")
    assert (settings.lr, settings.epochs) == ("auto", 1)


def test_what_shapes_a_schedule_is_taken_over_with_it_alone(tmp_path: Path) -> None:
    shape = ("--schedule", "exp_range", "--gamma", "0.99", "--step-size", "40", "--base-lr", "1e-5")
    run = _before(tmp_path, "--data", "photos", *shape)
    for option, expected in (
        ((), ("exp_range", 0.99, 40, 1e-5)),
        (("--schedule", "exp_range", "--step-size", "8"), ("exp_range", 0.99, 8, 1e-5)),
        (("--schedule", "triangular", "--base-lr", "1e-4"), ("triangular", None, None, 1e-4)),
        (("--schedule", "onecycle"), ("onecycle", None, None, None)),
    ):
        settings = _continued(run, "--data", "photos", *option)
        assert (settings.schedule, settings.gamma, settings.step_size, settings.base_lr) == expected


def test_ends_of_a_range_test_are_taken_over_with_its_mode_alone(tmp_path: Path) -> None:
    run = _before(tmp_path, "--data", "photos", "--start-lr", "0.02", "--end-lr", "3", "--num-steps", "50")
    for option, expected in (
        ((), ("exponential", 0.02, 3.0, 50)),
        (("--mode", "exponential"), ("exponential", 0.02, 3.0, 50)),
        (("--mode", "linear"), ("linear", 1e-7, 0.01, 50)),
        (("--mode", "linear", "--end-lr", "0.1"), ("linear", 1e-7, 0.1, 50)),
    ):
        settings = _continued(run, "--data", "photos", *option)
        assert (settings.mode, settings.start_lr, settings.end_lr, settings.num_steps) == expected
    linear = _before(tmp_path, "--data", "photos", "--mode", "linear")
    assert _continued(linear, "--data", "photos").end_lr == 0.01
    assert _continued(linear, "--data", "photos", "--mode", "exponential").end_lr == 10


def test_lowest_rate_that_is_taken_over_and_not_below_the_new_one_is_said_to_be_that_runs(
    tmp_path: Path,
) -> None:
    run = _before(tmp_path, "--data", "photos", "--schedule", "triangular", "--base-lr", "1e-3")
    settings = _continued(run, "--data", "photos")
    with pytest.raises(
        SettingsInvalid, match=r"--base-lr 0\.001 .* which is 0\.0005; .* that of --continue-"
    ):
        check_triangles(settings, 5e-4)
    check_triangles(_continued(run, "--data", "photos", "--base-lr", "1e-4"), 5e-4)


def test_run_that_was_begun_with_options_its_schedule_had_no_use_for_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older versions took them."""
    run = RunFolder(_before(tmp_path, "--data", "photos"))
    run.write_json(SETTINGS_FILE, {**run.read_json(SETTINGS_FILE), "step_size": 4, "base_lr": 1e-5})
    check_same(run, _load("--data", "photos"))
    monkeypatch.setenv("FOVEA_TRAIN_STEP_SIZE", "8")
    assert _continued(run.path, "--data", "photos", "--schedule", "triangular").step_size == 8


def test_average_mixing_and_accumulation_are_taken_over(tmp_path: Path) -> None:
    recipe = ("--ema", "0.99", "--mixup", "0.2", "--cutmix", "1", "--accumulate", "4")
    run = _before(tmp_path, "--data", "photos", *recipe)
    settings = _continued(run, "--data", "photos", "--mixup", "0.4")
    assert (settings.ema, settings.mixup, settings.cutmix, settings.accumulate) == (0.99, 0.4, 1.0, 4)


def test_run_of_a_version_that_knew_fewer_options_goes_on_with_their_defaults(tmp_path: Path) -> None:
    run = RunFolder(_before(tmp_path, "--data", "photos"))
    newer = ("ema", "mixup", "cutmix", "accumulate", "gamma", "channels_last", "sizes", "fit")
    older = {name: value for name, value in run.read_json(SETTINGS_FILE).items() if name not in newer}
    run.write_json(SETTINGS_FILE, older)
    check_same(run, _load("--data", "photos"))
    for option, said in (
        (("--ema", "0.9"), "was begun with no --ema, not --ema 0.9"),
        (("--accumulate", "2"), "was begun with --accumulate 1, not --accumulate 2"),
        (("--mixup", "0.2"), "was begun with --mixup 0.0, not --mixup 0.2"),
        (("--fit", "pad"), "was begun with --fit crop, not --fit pad"),
        (("--channels-last", "on"), "was begun with --channels-last auto, not --channels-last on"),
        (("--sizes", "64,224"), "was begun with no --sizes, not --sizes 64,224"),
        (("--no-flip",), "was begun with --flip, not --no-flip"),
    ):
        with pytest.raises(SettingsInvalid, match=said):
            check_same(run, _load("--data", "photos", *option))


def test_training_goes_on_at_the_last_of_its_sizes(tmp_path: Path) -> None:
    run = _before(tmp_path, "--data", "photos", "--sizes", "64,96", "--epochs", "2")
    settings = _continued(run, "--data", "photos")
    assert (settings.sizes, settings.size) == ((), 96)
    assert _continued(run, "--data", "photos", "--sizes", "80,96").sizes == (80, 96)
    with pytest.raises(SettingsInvalid, match=r"--sizes 96,128 should end with 96, which the network of"):
        _continued(run, "--data", "photos", "--sizes", "96,128")


def test_images_are_fitted_as_the_network_knows_them(tmp_path: Path) -> None:
    run = _before(tmp_path, "--data", "photos", "--fit", "pad", "--size", "64")
    settings = _continued(run, "--data", "photos", "--resize", "73")
    assert (settings.fit, settings.preprocess.resize) == ("pad", 64)
    assert settings.preprocess_in_training.resize == 73
    for option, value, said in (("--fit", "crop", "pad"), ("--resize", "64", "73"), ("--size", "70", "64")):
        with pytest.raises(SettingsInvalid, match=f"{option} {value}: .* which has {said}"):
            _continued(run, "--data", "photos", option, value)


def test_options_that_are_given_win(tmp_path: Path) -> None:
    run = _before(tmp_path, "--data", "photos", "--batch-size", "16", "--max-rotation", "3")
    settings = _continued(run, "--data", "photos", "--batch-size", "8")
    assert (settings.batch_size, settings.max_rotation) == (8, 3)


def test_groups_are_told_in_one_way_and_the_given_one_wins(tmp_path: Path) -> None:
    for before, given in (
        (("--group", "patient"), ("--group-pattern", "(p[0-9])_")),
        (("--group-pattern", "(p[0-9])_"), ("--group", "patient")),
    ):
        run = _before(tmp_path, "--data", "set.csv", *before)
        assert _groups(_continued(run, "--data", "set.csv", *given)) == _groups(_load("--data", "s", *given))
        assert _groups(_continued(run, "--data", "set.csv")) == _groups(_load("--data", "s", *before))


def _groups(settings: TrainSettings) -> tuple[str | None, str | None]:
    return settings.group, settings.group_pattern


@pytest.mark.parametrize(
    ("before", "given", "said"),
    [
        (
            ("--test-fraction", "0.6"),
            ("--val-fraction", "0.5"),
            "--val-fraction 0.5 and --test-fraction 0.6 should leave something to train on; .* taken from",
        ),
        (("--end-lr", "1e-3"), ("--start-lr", "1e-2"), "--start-lr 0.01 should be below --end-lr 0.001; "),
    ],
)
def test_given_option_that_does_not_go_with_one_taken_over_is_refused(
    before: tuple[str, str], given: tuple[str, str], said: str, tmp_path: Path
) -> None:
    run = _before(tmp_path, "--data", "photos", *before)
    with pytest.raises(SettingsInvalid, match=said):
        _continued(run, "--data", "photos", *given)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--size", "64"], "--size 64: .* which has 24"),
        (["--resize", "64"], "--resize 64: .* which has 28"),
        (["--arch", "resnet18"], "--arch resnet18: .* which has resnet34"),
        (["--gamma", "0.9"], "--gamma 0.9 is of --schedule exp_range; .* goes on with onecycle"),
        (["--step-size", "4"], "--step-size 4 is of --schedule triangular .*; .* goes on with onecycle"),
        (["--weights", "none"], "--weights none: .* starts from that run's weights"),
        (["--weights-sha256", "0" * 64], "--weights-sha256 0000.* starts from that run's weights"),
        (["--frozen-epochs", "2"], "--frozen-epochs 2: .* starts from that run's weights"),
    ],
)
def test_what_does_not_go_with_the_runs_network_is_refused(
    option: list[str], said: str, tmp_path: Path
) -> None:
    run = _before(tmp_path, "--data", "photos", "--size", "24", "--resize", "28")
    with pytest.raises(SettingsInvalid, match=said):
        _continued(run, "--data", "photos", *option)


def test_what_is_the_same_may_be_said_again(tmp_path: Path) -> None:
    run = _before(tmp_path, "--data", "photos", "--size", "24")
    settings = _continued(run, "--data", "photos", "--size", "24", "--resize", "27", "--arch", "resnet34")
    assert settings.preprocess.resize == 27


def test_images_are_prepared_as_the_networks_were_and_not_as_a_newer_timm_says(
    trained: Path, few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def newer(arch: str, spec: PreprocessSpec, *_: object) -> PreprocessSpec:
        return spec.model_copy(update={"interpolation": "lanczos"})

    monkeypatch.setattr(preparation, "preprocess_for", newer)
    given = train_settings(few_digits, tmp_path, resize=None, continue_from=trained / "runs" / "a")
    start = preparation.prepare(given)
    assert start.checkpoint.preprocess.interpolation == "bilinear"
    for images, spec in (
        (start.data.heldout, start.checkpoint.preprocess),
        (start.data.train, given.preprocess_in_training),
    ):
        seen = images.pixels(np.array([0]))[0]
        assert np.array_equal(seen, decode_image(images.samples[0].read(), spec))


def test_only_what_nobody_gave_is_said_to_be_implied(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    preparation._log_what_digits_imply(_load("--data", "digits", "--size", "48", "--resize", "50"))
    assert {"--batch-size 32", "--no-flip"} <= set(caplog.messages[0].partition(": ")[2].split(", "))
    assert "--size" not in caplog.text.replace("--batch-size", "")


def test_missing_weights_are_found_before_the_images_are_decoded(few_digits: Path, tmp_path: Path) -> None:
    settings = train_settings(few_digits, tmp_path, weights=str(tmp_path / "missing.pt"))
    with pytest.raises(DataInvalid, match=r"missing\.pt: no such weights file"):
        job.train(settings)
    assert not (tmp_path / "cache" / "pixels").exists()
