"""Runs that are held against a real server before latest.json moves."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fovea.errors import DataInvalid, SettingsInvalid, Unavailable
from scorer.committing import verification
from scorer.committing.sample import Sample
from scorer.files.committed import read_committed
from scorer.run import score
from tests import certificates, tiny
from tests.certificates import Authority
from tests.scorer.made_runs import Image, make_run, rewrite
from tests.scorer.runs import flags, last_line, scorer, settings_for
from tests.servers import ServerProcess, running_server

SHORT_S = 0.5
"""For a server that does not answer; one that does is given the usual time."""


@pytest.fixture(scope="module")
def server(tiny_models: Path) -> Iterator[ServerProcess]:
    """It serves the model that the runs are scored with."""
    with running_server(tiny_models, "--provider", "cpu", "--threads", "1") as server:
        yield server


def summary(output: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((output / "runs/night-1/summary.json").read_bytes())
    return record


def test_a_server_that_says_the_same_lets_latest_move(
    server: ServerProcess, photos: Path, tiny_models: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(settings_for(photos, tiny_models, output, "--verify", server.target, "--shard-images", "5"))
    verified = summary(output)["verification"]
    assert (
        verified["asked"],
        verified["mismatches"],
        verified["other_model"],
    ) == (12, 0, "")
    assert (verified["provider"], verified["precision"]) == (
        "CPUExecutionProvider",
        "fp32",
    )
    assert verified["largest_difference"] <= 1e-5
    assert (output / "latest.json").exists()
    assert f"12 images with {server.target}, which says the same" in capsys.readouterr().out


def test_of_several_models_that_of_the_run_is_asked(
    photos: Path, tiny_models: Path, output: Path, tmp_path: Path
) -> None:
    tiny.publish_bundle(tmp_path / "other", tmp_path / "staged", gain=9)
    with running_server(f"{tmp_path / 'other'},{tiny_models}", "--provider", "cpu") as server:
        score(settings_for(photos, tiny_models, output, "--verify", server.target))
        assert summary(output)["verification"]["mismatches"] == 0
        own = tmp_path / "own"
        tiny.publish_bundle(own, tmp_path / "staged-own")
        with pytest.raises(Unavailable, match="there is no model 'own'; there are 'other'"):
            score(settings_for(photos, own, tmp_path / "unknown", "--verify", server.target))


def test_another_model_under_the_same_number_fails_the_run(
    server: ServerProcess, photos: Path, tiny_models: Path, output: Path, tmp_path: Path
) -> None:
    other = tiny.publish_bundle(tmp_path / "tiny", tmp_path / "staging", gain=4.0)
    with running_server(tmp_path / "tiny", "--provider", "cpu") as wrong:
        result = scorer("run", *flags(photos, tiny_models, output, "--verify", wrong.target))
    assert result.returncode == 65
    line = last_line(result)
    assert "says something else than the rows for 12 of 12 images, first 000.png: the row says red 0." in line
    assert ", the server says red 0." in line
    assert f"its version 1 is another model (digest {other.digest[:12]}, not " in line
    assert {path.name for path in (output / "runs/night-1").iterdir()} == {
        *("data", "quarantine.parquet", "summary.json", "summary.html")
    }
    assert not (output / "latest.json").exists()
    assert "says something else" in (output / "runs/night-1/summary.html").read_text()

    result = scorer("commit", "--output", str(output), "--run-id", "night-1", "--verify", server.target)
    assert result.returncode == 0, result.stderr
    assert summary(output)["refused"] is None
    assert (output / "latest.json").exists()


def test_images_that_changed_or_are_gone_are_left_out_and_counted(
    server: ServerProcess, photos: Path, tiny_models: Path, output: Path
) -> None:
    score(settings_for(photos, tiny_models, output))
    (output / "runs/night-1/_SUCCESS").unlink()
    (output / "latest.json").unlink()
    (photos / "000.png").write_bytes(tiny.picture("blue"))
    (photos / "001.jpeg").unlink()
    score(settings_for(photos, tiny_models, output, "--verify", server.target))
    verified = summary(output)["verification"]
    assert (
        verified["asked"],
        verified["changed"],
        verified["gone"],
        verified["mismatches"],
    ) == (10, 1, 1, 0)


def spoilt(rows: pa.Table, run: str) -> pa.Table:
    """The first row's probability is off by a little, and it says that this run scored it."""
    columns = rows.to_pylist()
    columns[0]["top_probabilities"][0] -= 2e-4
    columns[0]["run"] = run
    return pa.Table.from_pylist(columns, rows.schema)


@pytest.mark.parametrize(("run", "mismatches"), [("night-1", 1), ("night-0", 0)])
def test_what_this_run_scored_must_be_the_same_and_what_it_carried_within_the_tolerance(
    run: str, mismatches: int, server: ServerProcess, photos: Path, tiny_models: Path, output: Path
) -> None:
    score(settings_for(photos, tiny_models, output))
    (output / "runs/night-1/_SUCCESS").unlink()
    (output / "latest.json").unlink()
    rewrite(output / "runs/night-1/data/shard-00000.parquet", lambda rows: spoilt(rows, run))
    verified = settings_for(photos, tiny_models, output, "--verify", server.target)
    if mismatches:
        with pytest.raises(DataInvalid, match=r"for 1 of 12 images, first 000\.png"):
            score(verified)
    else:
        score(verified)
    assert summary(output)["verification"]["mismatches"] == mismatches
    assert summary(output)["verification"]["largest_difference"] == pytest.approx(2e-4, rel=0.01)


def test_another_precision_is_given_its_own_tolerance_and_one_that_is_not_known_is_said(
    photos: Path, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "tiny"
    tiny.publish_bundle(models, tmp_path / "staging", variants={"fp16": 8.1})
    with running_server(models, "--provider", "cpu", "--precision", "fp16") as server:
        settings = settings_for(photos, models, output, "--verify", server.target)
        with monkeypatch.context() as patch:
            patch.setattr(verification, "GOLDEN_TOLERANCES", {"fp32": 1e-3})  # as of a scorer that is older
            with pytest.raises(Unavailable, match=r"it computes in fp16, .* \(it knows fp32\)"):
                score(settings)
        score(settings)
    verified = summary(output)["verification"]
    assert (
        verified["precision"],
        verified["other_model"],
        verified["mismatches"],
    ) == ("fp16", "", 0)
    assert 1e-4 < verified["largest_difference"] < 2e-2


def test_a_server_that_is_not_there_is_unavailable_and_nothing_is_written(
    photos: Path, tiny_models: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "TIMEOUT_S", SHORT_S)
    with pytest.raises(Unavailable, match=r"--verify 127\.0\.0\.1:9: "):
        score(settings_for(photos, tiny_models, output, "--verify", "127.0.0.1:9"))
    assert [path.name for path in (output / "runs/night-1").iterdir()] == ["data"]


def test_a_server_without_the_version_says_which_it_has(photos: Path, output: Path, tmp_path: Path) -> None:
    models = tmp_path / "tiny"
    for gain in (8.0, 7.0):
        tiny.publish_bundle(models, tmp_path / str(gain), gain=gain)
    with running_server(models, "--provider", "cpu") as server:
        settings = settings_for(photos, models, output, "--model-version", "1", "--verify", server.target)
        with pytest.raises(Unavailable, match=r"version 1 is not served there \(it has: 2\)"):
            score(settings)


def test_a_run_held_back_unverified_is_verified_before_it_is_accepted(
    server: ServerProcess, photos: Path, tiny_models: Path, output: Path
) -> None:
    for index in range(100):
        (photos / f"more-{index:03}.png").write_bytes(tiny.picture("green"))
    with pytest.raises(DataInvalid, match="--max-drift"):
        score(settings_for(photos, tiny_models, output, "--max-drift", "0"))
    assert summary(output)["verification"] is None
    score(settings_for(photos, tiny_models, output, "--verify", server.target))
    assert summary(output)["verification"]["asked"] == 64
    assert (output / "latest.json").exists()


def sampled(output: Path, run: str, size: int) -> list[str]:
    images = [[Image(f"{s}/{n:03}", None if n % 2 else "red") for n in range(100)] for s in range(10)]
    folder, plan = make_run(output, images, run)
    sample = Sample(run, size)
    for shard in read_committed(folder, plan):
        for part in shard.parts():
            sample.add(part)
    return [row.key for row in sample.rows()]


def test_a_run_that_is_the_latest_already_says_that_it_is_not_verified(
    photos: Path, tiny_models: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    score(settings_for(photos, tiny_models, output))
    score(settings_for(photos, tiny_models, output, "--verify", "localhost:1"))
    assert caplog.messages[-1].startswith("--verify is not done")


def test_a_sample_is_spread_over_the_run_and_the_same_each_time(output: Path) -> None:
    keys = sampled(output, "night-1", 40)
    assert len(set(keys)) == 40
    assert keys == sorted(keys)
    assert len({key[0] for key in keys}) >= 8
    assert all(int(key[2:]) % 2 == 0 for key in keys)
    assert keys == sampled(output, "night-1", 40)
    assert keys != sampled(output, "night-2", 40)


def test_of_fewer_rows_all_are_sampled(output: Path) -> None:
    assert len(sampled(output, "night-1", 2000)) == 500


@pytest.mark.parametrize("shows_certificate", [False, True], ids=["tls", "mtls"])
def test_a_server_that_speaks_tls_is_asked(
    photos: Path,
    tiny_models: Path,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    shows_certificate: bool,
) -> None:
    authority = Authority.create()
    for name in ("server", "driver"):
        certificates.write(tmp_path / name, authority, authority.issue(name))
    ca, pair = tmp_path / "server/ca.pem", ("--tls-cert", "--tls-key")
    server_flags = [*_pair(pair, tmp_path / "server"), *(["--tls-client-ca", str(ca)] * shows_certificate)]
    trusting = ["--verify-tls-ca", str(ca)]
    driver = _pair(("--verify-tls-cert", "--verify-tls-key"), tmp_path / "driver")
    if shows_certificate:  # and says who calls
        (tmp_path / "token").write_text("a-token")
        (tmp_path / "tokens").write_text(f"nightly classify {hashlib.sha256(b'a-token').hexdigest()}\n")
        server_flags += ["--token-file", str(tmp_path / "tokens")]
        driver += ["--verify-token-file", str(tmp_path / "token")]
    with running_server(tiny_models, "--provider", "cpu", "--threads", "1", *server_flags) as server:
        asked = ["--verify", f"localhost:{server.ready['port']}"]
        lacking = trusting if shows_certificate else ["--verify-tls"]
        with monkeypatch.context() as patch:
            patch.setattr(verification, "TIMEOUT_S", SHORT_S)
            with pytest.raises(Unavailable, match="--verify localhost:"):
                score(settings_for(photos, tiny_models, output, *asked, *lacking))
        enough = [*trusting, *(driver if shows_certificate else [])]
        score(settings_for(photos, tiny_models, output, *asked, *enough))
    assert (summary(output)["verification"]["asked"], summary(output)["refused"]) == (12, None)


def test_tls_files_that_are_missing_are_found_before_the_night(
    photos: Path, tiny_models: Path, output: Path
) -> None:
    asked = ("--verify", "localhost:1", "--verify-tls-ca", "nowhere.crt")
    with pytest.raises(Unavailable, match=r"the TLS file nowhere\.crt cannot be read"):
        score(settings_for(photos, tiny_models, output, *asked))
    with pytest.raises(Unavailable, match=r"the token file nowhere cannot be read"):
        score(settings_for(photos, tiny_models, output, *asked[:2], "--verify-token-file", "nowhere"))
    assert not output.exists()
    with pytest.raises(SettingsInvalid, match="--verify-tls-cert and --verify-tls-key go together"):
        settings_for(photos, tiny_models, output, "--verify-tls-cert", "driver.crt")


def test_how_to_ask_is_refused_where_no_server_is_asked_but_may_stand_in_a_pods_environment(
    photos: Path, tiny_models: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = ("--verify-tls-cert", "a.crt", "--verify-tls-key", "a.key")
    token = ("--verify-token-file", "token")
    for given in (("--verify-tls",), ("--verify-tls-ca", "ca.crt"), pair, token, ("--verify-images", "9")):
        with pytest.raises(SettingsInvalid, match=f"^{given[0]} is for --verify, which is not given$"):
            settings_for(photos, tiny_models, output, *given)
        assert settings_for(photos, tiny_models, output, "--verify", "localhost:1", *given).verify
    assert settings_for(photos, tiny_models, output, "--no-verify-tls").verify is None
    monkeypatch.setenv("FOVEA_SCORE_VERIFY_TLS_CA", "ca.crt")
    assert settings_for(photos, tiny_models, output).verify_tls_ca == Path("ca.crt")


def _pair(flags: tuple[str, str], folder: Path) -> list[str]:
    return [flags[0], str(folder / "tls.crt"), flags[1], str(folder / "tls.key")]
