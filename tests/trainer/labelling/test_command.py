"""`label`: from captures to a page."""

import re
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import BundleInvalid, DataInvalid, SettingsInvalid, Unavailable
from tests import tiny
from tests.captures import put
from tests.programs import Program
from tests.trainer.labelling.made import anew, answer, scene
from trainer.config import LabelSettings
from trainer.labelling import command
from trainer.labelling.saving import Saved
from trainer.runs.run_folder import RunFolder

ROWS = [answer(scene(seed), margin=seed / 10) for seed in range(3)]
COPY = answer(anew(scene(0), 70), margin=0.9)
BAD = answer(b"no image")


def settings(folder: Path, models: Path, **options: Any) -> LabelSettings:
    return LabelSettings(
        captures=str(folder / "captures"), models=str(models), output=folder / "out", threads=1, **options
    )


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    others = (answer(scene(7), model_name="birds"), answer(None))
    put(tmp_path / "captures", [*ROWS, COPY, BAD, *others])
    return tmp_path / "captures"


@pytest.mark.usefixtures("captures")
def test_page_is_written_and_said_and_what_is_left_out_told(
    tiny_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    command.label(settings(tmp_path, tiny_models))
    said = capsys.readouterr().out
    assert "4 of 4 captured images: all" in said
    assert "nearly the same: 2 of them, in 1 group" in said
    assert said.splitlines()[-2:] == [
        f"label them in {tmp_path / 'out' / 'label.html'}",
        f"what it saves by download belongs into {tmp_path / 'out' / 'corrections.csv'}",
    ]
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith(
        f"left out as undecodable: 1 image; {BAD.sha256[:12]}: the bytes are not an image"
    )
    assert told[1:] == [
        "left out as captured without the image: 1 answer",
        "left out as other models' answers: 'birds' (1)",
    ]
    page = (tmp_path / "out" / "label.html").read_text()
    assert page.count("data:image/webp") == 4
    assert all(row.sha256 in page for row in (*ROWS, COPY))


@pytest.mark.usefixtures("captures")
def test_what_has_a_row_already_is_left_out_and_its_row_stays(tiny_models: Path, tmp_path: Path) -> None:
    Saved(tmp_path / "out", [], ROWS).change({ROWS[0].sha256: "blue", ROWS[1].sha256: ""})
    command.label(settings(tmp_path, tiny_models, limit=1))
    page = (tmp_path / "out" / "label.html").read_text()
    assert page.count("data:image/webp") == 1
    assert f'["sha256/{ROWS[0].sha256}","blue","relabel","red"' in page


@pytest.mark.usefixtures("captures")
def test_nothing_to_label_is_an_error_that_says_why(tiny_models: Path, tmp_path: Path) -> None:
    Saved(tmp_path / "out", [], [*ROWS, COPY]).change({row.sha256: "" for row in (*ROWS, COPY)})
    with pytest.raises(
        DataInvalid, match=r"no image of 'tiny' to label; .* corrections\.csv: 4 answers; .* 'birds' \(1\)"
    ):
        command.label(settings(tmp_path, tiny_models))
    with pytest.raises(BundleInvalid):
        command.label(settings(tmp_path, tmp_path / "nothing"))
    assert not (tmp_path / "out" / "label.html").exists()


def test_a_folder_without_captures_is_named(tiny_models: Path, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"captures: there are no captures \(date="):
        command.label(settings(tmp_path, tiny_models))


@pytest.mark.usefixtures("captures")
def test_a_folder_that_is_served_already_is_refused_before_its_rows_are_read(
    tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "read_rows", lambda folder: pytest.fail("was read"))
    with (
        RunFolder(tmp_path / "out").locked(),
        pytest.raises(Unavailable, match="another process is at work"),
    ):
        command.label(settings(tmp_path, tiny_models, serve=True))


def test_multi_label_model_is_refused(tmp_path: Path) -> None:
    tiny.publish_bundle(tmp_path / "models" / "tiny", tmp_path / "staged", multi=True)
    with pytest.raises(SettingsInvalid, match="tiny is multi-label, and the page gives an image one label"):
        command.label(settings(tmp_path, tmp_path / "models" / "tiny"))


def test_options_that_have_no_use_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--port is of --serve"):
        settings(tmp_path, tmp_path, port=8080)
    (tmp_path / "out").touch()
    with pytest.raises(SettingsInvalid, match="is in the way"):
        command.label(settings(tmp_path, tmp_path))


@pytest.mark.slow
@pytest.mark.usefixtures("captures")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_program_that_serves_ends_quietly_and_what_was_answered_is_there(
    tiny_models: Path, tmp_path: Path, number: int, code: int
) -> None:
    words = ("label", str(tmp_path / "captures"), "--models", str(tiny_models), "--serve")
    flags = ("--output", str(tmp_path / "out"), "--threads", "1", "--log-level", "error")
    pipe = subprocess.PIPE
    with Program("trainer", *words, *flags, stdout=pipe, stderr=pipe) as program:
        assert program.stdout is not None
        lines = [program.stdout.readline() for _ in range(3)]
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=(\S+)", lines[-1])
        assert found is not None
        address = found[0].partition("?")[0]
        body = f'{{"{ROWS[0].sha256}": "blue"}}'.encode()
        request = urllib.request.Request(
            f"{address}answers", body, {"Authorization": f"Bearer {found[1]}"}, method="POST"
        )
        assert urllib.request.urlopen(request, timeout=10).status == 204
        program.send_signal(number)
        out, err = program.communicate(timeout=20)
    assert (program.returncode, err.count("\n")) == (code, 1)
    assert "Traceback" not in err
    assert out.endswith("1 of 4 were labelled\n")
    assert f"sha256/{ROWS[0].sha256},blue,relabel" in (tmp_path / "out" / "corrections.csv").read_text()
