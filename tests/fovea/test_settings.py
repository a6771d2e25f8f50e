"""Settings: one declaration, three ways to set it, one line when it is wrong."""

import pytest
from pydantic import Field
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from fovea import command_line, settings
from fovea.errors import DataInvalid, ExitCode, SettingsInvalid


class Oven(settings.ProgramSettings):
    """Bake."""

    model_config = SettingsConfigDict(env_prefix="FOVEA_OVEN_", cli_shortcuts={"fan": "airy"})

    what: CliPositionalArg[str] = Field(default="bread", description="what to bake")
    heat_c: int = Field(default=200, ge=50, le=300, description="heat in degrees")
    shelves: settings.CommaSeparated = Field(default=("middle",), description="where")
    fan: bool = Field(default=False, description="turn the fan on")
    hours: float = Field(default=1, description="how long")


class Fridge(settings.ProgramSettings):
    model_config = SettingsConfigDict(env_prefix="FOVEA_OVEN_")

    cold_c: int = Field(default=4, description="cold in degrees")


def load(*arguments: str) -> Oven:
    return settings.load(Oven, arguments, "oven", siblings=[Fridge])


def refusal(*arguments: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load(*arguments)
    assert caught.value.exit_code == ExitCode.USAGE
    return str(caught.value)


def test_a_flag_beats_the_environment_and_the_environment_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load().heat_c == 200
    monkeypatch.setenv("FOVEA_OVEN_HEAT_C", "180")
    assert load().heat_c == 180
    assert load("--heat-c", "220").heat_c == 220


def test_a_positional_argument_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_OVEN_WHAT", "cake")
    assert load().what == "cake"
    assert load("pizza").what == "pizza"


def test_positional_words_are_taken_as_they_are() -> None:
    class Freezer(settings.ProgramSettings):
        what: CliPositionalArg[list[str]] = Field(default=[], description="what to freeze")

    words = ["peas,beans", "[fish]", '"ice"', "null", " 5"]
    assert settings.load(Freezer, words, "freezer").what == words


def test_lists_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load("--shelves", "top, bottom").shelves == ("top", "bottom")
    monkeypatch.setenv("FOVEA_OVEN_SHELVES", "top,middle")
    assert load().shelves == ("top", "middle")


def test_switches_need_no_value() -> None:
    assert load("--fan").fan is True
    assert load("--no-fan").fan is False


def test_a_bad_value_names_option_and_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = refusal("--heat-c", "301")
    assert wrong == ("--heat-c (or FOVEA_OVEN_HEAT_C): input should be less than or equal to 300, not '301'")
    monkeypatch.setenv("FOVEA_OVEN_HEAT_C", "hot")
    assert "FOVEA_OVEN_HEAT_C" in refusal()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--heat-c", "x"], "--heat-c (or FOVEA_OVEN_HEAT_C): should be a whole number, not 'x'"),
        (["--hours", "x"], "--hours (or FOVEA_OVEN_HOURS): should be a number, not 'x'"),
        (["--hours", "inf"], "--hours (or FOVEA_OVEN_HOURS): should be a finite number, not 'inf'"),
        (["bread", "extra"], "oven: there is an argument too many: 'extra' (see oven --help)"),
        (["--airi"], "oven has no option --airi; did you mean --airy?"),
    ],
)
def test_a_refusal_is_in_plain_words(arguments: list[str], says: str) -> None:
    assert refusal(*arguments) == says


def test_a_switch_in_the_environment_is_true_or_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_OVEN_FAN", "perhaps")
    assert refusal() == "--fan (or FOVEA_OVEN_FAN): should be true or false, not 'perhaps'"


def test_an_unknown_flag_is_refused_with_the_nearest() -> None:
    assert refusal("--head-c", "3") == "oven has no option --head-c; did you mean --heat-c?"


def test_an_unknown_variable_under_the_prefix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_OVEN_HEATC", "3")
    assert (
        refusal() == "environment variable FOVEA_OVEN_HEATC is not a setting; did you mean FOVEA_OVEN_HEAT_C?"
    )


def test_a_service_link_of_kubernetes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_OVEN_PORT", "tcp://10.0.0.1:8001")
    assert "FOVEA_OVEN_PORT" in refusal()


def test_a_variable_of_another_command_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_OVEN_COLD_C", "3")
    assert load().heat_c == 200


def test_variables_of_other_programs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_TRAIN_HEAT", "3")
    assert load().heat_c == 200


@pytest.mark.parametrize("name", ["FOVEA_FOO", "FOVEA_OVENS_FAN", "FOVEA_HEAT"])
def test_a_variable_of_no_program_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "3")
    assert refusal().startswith(f"environment variable {name} is not a setting")


def test_a_variable_without_the_programs_prefix_is_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_HEAT_C", "180")
    assert refusal().endswith("; did you mean FOVEA_OVEN_HEAT_C?")


def test_a_shared_prefix_alone_makes_no_names_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_OVEN_XYZ", "3")
    assert refusal() == "environment variable FOVEA_OVEN_XYZ is not a setting"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load(), "heat_c", 100)  # noqa: B010 - which mypy would refuse


def test_help_shows_a_default_as_it_would_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    class Tray(settings.ProgramSettings):
        loaves: settings.CommaSeparated = Field(default=("rye", "oat"), description="what is on it")

    with pytest.raises(SystemExit):
        settings.load(Tray, ["--help"], "tray")
    assert "(default: rye, oat)" in capsys.readouterr().out


def test_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load("--help")
    assert caught.value.code == 0
    output = capsys.readouterr().out
    assert all(command_line.flag(name) in output for name in Oven.model_fields if name != "what")


def test_commands_are_listed_and_unknown_ones_refused(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {"bake": "Bake it.", "burn": "Burn it."}
    assert command_line.choose_command(commands, ["bake", "--fan"], "oven") == ("bake", ["--fan"])
    with pytest.raises(SystemExit):
        command_line.choose_command(commands, ["--help"], "oven")
    assert "Burn it." in capsys.readouterr().out
    with pytest.raises(SettingsInvalid, match="no command 'boil'; the commands are bake, burn"):
        command_line.choose_command(commands, ["boil"], "oven")
    with pytest.raises(SettingsInvalid, match="a command is missing"):
        command_line.choose_command(commands, [], "oven")
    with pytest.raises(SettingsInvalid, match="the command is bake"):
        command_line.choose_command({"bake": "Bake it."}, [], "oven")


def test_data_errors_exit_65() -> None:
    assert DataInvalid("x").exit_code == 65
