import pytest

from fovea.cpus import available_cpus
from fovea.errors import SettingsInvalid
from fovea.settings import load
from scorer.config import RunSettings

NEEDED = ("photos", "--models", "models/pets", "--output", "scores")


def settings(*arguments: str) -> RunSettings:
    return load(RunSettings, arguments, "scorer run")


def test_three_places_are_all_that_must_be_given() -> None:
    assert settings(*NEEDED).source == "photos"


def test_one_thread_more_than_the_cores_decodes() -> None:
    """With as many, a core was idle for a tenth of the time."""
    assert settings(*NEEDED).decode_threads == available_cpus() + 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("--run-id=../up", "a run id is letters"),
        ("--run-id=" + "x" * 101, "at most 100"),
        ("--requeue=../up", "a run id is letters"),
        ("--model-version=newest", "a version is a number from 1 on, or latest"),
        ("--model-version=0", "a version is a number from 1 on, or latest"),
        ("--include=,", "there must be a glob"),
        ("--top-k=0", "greater than or equal to 1"),
        ("--shard-images=0", "greater than or equal to 1"),
        ("--shard-bytes=0", "greater than or equal to 1"),
        ("--max-bad-fraction=1.5", "less than or equal to 1"),
        ("--verify=localhost", "a server is written host:port, such as localhost:8001"),
        ("--verify=http://localhost:8001", "a server is written host:port"),
        ("--provider=tpu", "'auto', 'cuda' or 'cpu'"),
        ("--models=", "at least 1 character"),
        ("--shard-image=5", "did you mean --shard-images?"),
    ],
)
def test_a_wrong_value_is_refused_with_the_options_name(wrong: str, says: str) -> None:
    with pytest.raises(SettingsInvalid, match=wrong.split("=")[0]) as caught:
        settings(*NEEDED, wrong)
    assert says in str(caught.value)


@pytest.mark.parametrize("server", ["localhost:8001", "[::1]:8001", "dns:///fovea:8001", "unix:/run/fovea"])
def test_whatever_grpc_takes_for_a_server_can_verify(server: str) -> None:
    assert settings(*NEEDED, f"--verify={server}").verify == server


def test_a_missing_source_is_named() -> None:
    with pytest.raises(SettingsInvalid, match=r"^SOURCE \(or FOVEA_SCORE_SOURCE\) is missing: the images"):
        settings(*NEEDED[1:])


def test_a_requeue_needs_no_source() -> None:
    assert settings(*NEEDED[1:], "--requeue", "night-1").source == ""


def test_a_source_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match=r"SOURCE .* in UTF-8"):
        settings("photos\udcff", *NEEDED[1:])


def test_the_source_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_SCORE_SOURCE", "s3://bucket/photos")
    assert settings(*NEEDED[1:]).source == "s3://bucket/photos"


def test_run_ids_of_their_own_can_be_run_ids() -> None:
    assert settings(*NEEDED, "--run-id", settings(*NEEDED).run_id).run_id


def test_latest_is_no_number_and_a_number_is_one() -> None:
    assert settings(*NEEDED).version is None
    assert settings(*NEEDED, "--model-version", "12").version == 12
