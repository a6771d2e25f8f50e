import pytest

from fovea.errors import SettingsInvalid
from fovea.settings import load
from server.config import PROGRAM, ServeSettings


def settings(*arguments: str) -> ServeSettings:
    return load(ServeSettings, ["--models", "models/pets", *arguments], PROGRAM)


def test_ports_are_the_documented_ones_by_default() -> None:
    chosen = settings()
    assert (chosen.port, chosen.metrics_port, chosen.health_port) == (8001, 8002, 8003)


def test_version_is_the_latest_or_a_number() -> None:
    assert settings().version is None
    assert settings("--model-version", "3").version == 3


def test_variable_sets_what_no_flag_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_SERVE_MAX_BATCH_SIZE", "9")
    assert settings().max_batch_size == 9


def test_message_limit_holds_the_largest_call_that_can_be_admitted() -> None:
    chosen = settings("--max-image-bytes", "1000000", "--max-images-per-call", "10")
    assert chosen.max_message_bytes > 10_000_000
    assert settings("--max-inflight-bytes", str(2**40)).max_message_bytes < 2**31


def test_missing_models_are_asked_for_by_name() -> None:
    with pytest.raises(SettingsInvalid, match=r"--models \(or FOVEA_SERVE_MODELS\) is missing"):
        load(ServeSettings, [], PROGRAM)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--model-version", "newest"),
        ("--model-version", "0"),
        ("--host", ""),
        ("--port", "65536"),
        ("--metrics-port", "-1"),
        ("--health-port", "http"),
        ("--provider", "tpu"),
        ("--threads", "0"),
        ("--decode-threads", "0"),
        ("--max-batch-size", "0"),
        ("--max-queue-delay-ms", "-1"),
        ("--queue-capacity", "0"),
        ("--max-inflight-bytes", "0"),
        ("--max-images-per-call", "0"),
        ("--max-image-bytes", "0"),
        ("--max-image-pixels", "0"),
        ("--drain-delay-s", "soon"),
        ("--grace-s", "-1"),
        ("--log-level", "loud"),
        ("--log-format", "xml"),
        ("--access-log-sample", "1.5"),
        ("--watch-interval-s", "-1"),
        ("--tls-cert", ""),
        ("--tls-key", ""),
        ("--tls-client-ca", ""),
        ("--token-file", ""),
    ],
)
def test_wrong_value_is_refused_by_the_options_name(option: str, value: str) -> None:
    with pytest.raises(SettingsInvalid, match=rf"^{option} "):
        settings(f"{option}={value}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--max-images-per-call", "300"),
        ("--max-image-bytes", "2000", "--max-inflight-bytes", "1000"),
    ],
)
def test_call_that_could_never_be_admitted_is_refused_at_start(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SettingsInvalid, match=f"^{arguments[0]} .* must not be more than"):
        settings(*arguments)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--shadow", "2", "--models", "b"), "--shadow is for one model, whose version it names"),
        (("--shadow", "2", "--model-version", "2"), "--shadow and --model-version must not both be 2"),
        (("--canary", "2", "--models", "b"), "--canary is for one model, whose version it names"),
        (("--canary", "2", "--model-version", "2"), "--canary and --model-version must not both be 2"),
        (("--canary-percent", "5"), "--canary-percent is of --canary, which names the version"),
        (("--shadow-percent", "5"), "--shadow-percent is of --shadow, which names the version"),
    ],
)
def test_a_shadow_or_canary_is_another_version_of_the_only_model(given: tuple[str, ...], why: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"^{why}"):
        settings(*given)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (("--tls-cert", "a"), "--tls-cert needs --tls-key"),
        (("--tls-key", "a"), "--tls-key needs --tls-cert"),
        (("--tls-client-ca", "a"), "--tls-client-ca needs --tls-cert and --tls-key"),
        (("--tls-client-ca", "a", "--tls-cert", "b"), "--tls-cert needs --tls-key"),
    ],
)
def test_certificate_key_and_authority_go_together(given: tuple[str, ...], missing: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"^{missing} beside it$"):
        settings(*given)


def test_what_asks_for_tokens_has_some_to_know() -> None:
    for option in ("--no-open-metrics", "--no-open-health"):
        with pytest.raises(SettingsInvalid, match=f"^{option} needs --token-file or --jwt-jwks beside it$"):
            settings(option)
        assert settings(option, "--token-file", "tokens").token_file is not None
