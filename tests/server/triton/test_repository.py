"""What `python -m server.triton` lays out; tests/triton has the real Triton serve it."""

import ast
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fovea.errors import BundleInvalid, DataInvalid, SettingsInvalid, Unavailable
from fovea.model.bundle import ModelBundle
from fovea.model.versions import publish
from tests.buckets import Bucket
from tests.server import spoiled
from tests.server.triton_release import Release
from tests.servers import ROOT


def test_version_is_the_whole_bundle_with_program_and_labels(release: Release) -> None:
    release.lay_out()
    version = release.repository / "tiny" / "1"
    assert ModelBundle.open(version).contract.version == 1
    assert (version / "model.py").read_bytes() == (ROOT / "server" / "triton" / "model.py").read_bytes()
    assert (version / "labels.txt").read_text() == "red\ngreen\nblue\n"
    assert release.served == "1"
    assert not [path for path in release.repository.rglob("*") if path.name.startswith(".")]


def test_plain_model_is_there_where_it_is_asked_for(tmp_path: Path) -> None:
    release = Release(tmp_path)
    bundle = release.publish(variants={"int8": 3.0})
    release.lay_out("--with-onnx", "--precision", "int8")
    plain = release.repository / "tiny_onnx"
    assert (plain / "1" / "model.onnx").read_bytes() == bundle.file_of("int8").read_bytes()
    assert (plain / "1" / "labels.txt").read_text() == "red\ngreen\nblue\n"
    assert 'backend: "onnxruntime"' in release.config("tiny_onnx")


def test_eight_bits_are_for_our_own_sessions_alone(release: Release) -> None:
    assert release.settings("--precision", "int8-full").precision == "int8-full"
    with pytest.raises(
        SettingsInvalid, match=r"--with-onnx cannot have --precision int8-full: .* int8 is right"
    ):
        release.settings("--with-onnx", "--precision", "int8-full")


def test_model_from_a_bucket_leaves_no_second_copy(bucket: Bucket, tmp_path: Path) -> None:
    release = Release(tmp_path, f"{bucket.uri}/models/tiny")
    release.publish()
    release.lay_out("--model-cache", str(tmp_path / "cache"))
    assert ModelBundle.open(release.repository / "tiny" / "1")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_what_is_right_is_left_untouched(release: Release) -> None:
    release.lay_out("--with-onnx")
    before = release.state()
    release.lay_out("--with-onnx")
    assert release.state() == before


def test_what_is_damaged_is_written_again_and_nothing_else(release: Release) -> None:
    release.lay_out()
    before = release.state()
    model = release.repository / "tiny" / "1" / "model.onnx"
    whole = model.read_bytes()
    model.write_bytes(whole[:100])
    release.lay_out()
    assert model.read_bytes() == whole
    after = release.state()
    assert {name for name in after if after[name] != before[name]} == {"tiny/1/model.onnx"}


def test_newer_version_is_added_and_named(release: Release) -> None:
    release.lay_out("--with-onnx")
    release.publish()
    release.lay_out("--with-onnx")
    assert release.served == "2"
    assert release.versions() == release.versions("tiny_onnx") == ["1", "2"]


def test_version_that_could_not_be_written_whole_is_not_named(release: Release) -> None:
    release.lay_out()
    release.publish()
    (release.repository / "tiny" / "2" / "model.onnx" / "in the way").mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"2/model\.onnx: cannot be written"):
        release.lay_out()
    assert release.served == "1"


def test_multi_label_model_has_what_is_selected_and_another_has_not(release: Release) -> None:
    output = '{ name: "selected" data_type: TYPE_BOOL dims: [ 3 ] }'
    release.lay_out("--with-onnx")
    assert output not in release.config()
    release.publish(multi=True)
    release.lay_out("--with-onnx")
    assert output in release.config()
    assert output not in release.config("tiny_onnx"), "onnxruntime's backend compares nothing with thresholds"


def test_labels_may_change_with_a_version(release: Release) -> None:
    release.lay_out()
    release.publish(labels=("rot", "grün", "blau"))
    release.lay_out()
    assert (release.repository / "tiny" / "1" / "labels.txt").read_text() == "red\ngreen\nblue\n"
    assert (release.repository / "tiny" / "2" / "labels.txt").read_text() == "rot\ngrün\nblau\n"
    assert 'label_filename: "2/labels.txt"' in release.config()
    assert "1/labels.txt" not in release.config()


def test_pinned_version_is_the_one_that_is_served(release: Release) -> None:
    release.publish()
    release.lay_out()
    release.lay_out("--model-version", "1")
    assert release.served == "1"
    assert release.versions() == ["1", "2"]


def test_version_that_is_not_there_names_those_that_are(release: Release) -> None:
    with pytest.raises(BundleInvalid, match=r"there is no version 7 \(there are: 1\)"):
        release.lay_out("--model-version", "7")


@pytest.mark.parametrize("spoil", spoiled.SPOILED, ids=lambda spoil: spoil.__name__)
def test_bad_version_gives_way_to_the_next_lower_one(
    spoil: Callable[[ModelBundle], ModelBundle], release: Release, caplog: pytest.LogCaptureFixture
) -> None:
    publish(spoil(release.stage()), release.models)
    with caplog.at_level(logging.WARNING):
        release.lay_out()
    assert release.served == "1"
    assert release.versions() == ["1"]
    (warning,) = [record for record in caplog.records if record.getMessage() == "version is refused"]
    assert re.search(spoiled.SPOILED[spoil], vars(warning)["reason"])


def test_reason_is_told_where_no_version_is_good(tmp_path: Path) -> None:
    release = Release(tmp_path)
    publish(spoiled.change_the_golden_answers(release.stage()), release.models)
    with pytest.raises(BundleInvalid, match="golden check failed"):
        release.lay_out()
    assert not release.repository.exists()


def test_model_of_somebody_else_is_not_written_over(release: Release) -> None:
    config = release.repository / "tiny" / "config.pbtxt"
    config.parent.mkdir(parents=True)
    config.write_text('name: "tiny"\n')
    with pytest.raises(DataInvalid, match=r"was not written by python -m server\.triton"):
        release.lay_out()
    assert config.read_text() == 'name: "tiny"\n'


def test_model_of_somebody_else_without_a_configuration_is_not_written_over(release: Release) -> None:
    model = release.repository / "tiny" / "7" / "model.onnx"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"theirs")
    with pytest.raises(DataInvalid, match=r"repository/tiny: was not written by python -m server\.triton"):
        release.lay_out()
    assert [path for path in release.repository.rglob("*") if path.is_file()] == [model]


def test_published_versions_are_not_written_into(release: Release) -> None:
    release.repository = Path(release.models).parent
    before = release.state()
    with pytest.raises(DataInvalid, match=r"models/tiny: was not written by"):
        release.lay_out("--follow")
    assert release.state() == before


def test_nothing_is_written_where_either_model_is_somebody_elses(release: Release) -> None:
    config = release.repository / "tiny_onnx" / "config.pbtxt"
    config.parent.mkdir(parents=True)
    config.write_text('name: "tiny_onnx"\n')
    with pytest.raises(DataInvalid, match=r"tiny_onnx/config\.pbtxt: was not written by"):
        release.lay_out("--with-onnx")
    assert release.repository.joinpath("tiny").exists() is False


def test_what_was_cut_short_is_finished(release: Release) -> None:
    release.lay_out("--with-onnx")
    before = release.state()
    for name in ("tiny", "tiny_onnx"):
        (release.repository / name / "config.pbtxt").unlink()
        (release.repository / name / "1" / "model.onnx").unlink()
    release.publish()
    release.lay_out("--with-onnx", "--model-version", "1")
    assert set(release.state()) == set(before)


def test_versions_of_somebody_elses_model_are_not_removed(release: Release) -> None:
    theirs = release.repository / "tiny_onnx"
    for version in ("1", "2"):
        (theirs / version).mkdir(parents=True)
    release.publish()
    release.publish()
    release.lay_out("--follow")
    assert release.versions("tiny_onnx") == ["1", "2"]


def test_label_of_two_lines_is_refused(tmp_path: Path) -> None:
    release = Release(tmp_path)
    release.publish(labels=("red", "green\nish", "blue"))
    with pytest.raises(BundleInvalid, match="'green\\\\nish' is not one line"):
        release.lay_out()


@pytest.mark.parametrize(
    ("flags", "written"),
    [
        ((), "kind: KIND_CPU"),
        ((), "max_batch_size: 16"),
        (("--provider", "cuda"), "kind: KIND_GPU gpus: [ 0 ]"),
        (("--provider", "cuda"), "max_batch_size: 64"),
        (("--provider", "cuda"), 'key: "provider" value { string_value: "cuda" }'),
        (("--max-batch-size", "9"), "max_batch_size: 9"),
        (("--instances", "3"), "count: 3"),
        (("--max-queue-delay-ms", "1.5"), "max_queue_delay_microseconds: 1500"),
        (("--queue-capacity", "7"), "max_queue_size: 7"),
        (("--queue-timeout-ms", "250"), "default_timeout_microseconds: 250000"),
        (("--max-image-bytes", "1000"), 'key: "max_image_bytes" value { string_value: "1000" }'),
        (("--max-image-pixels", "900"), 'key: "max_image_pixels" value { string_value: "900" }'),
    ],
)
def test_option_is_what_triton_is_told(release: Release, flags: tuple[str, ...], written: str) -> None:
    release.lay_out(*flags)
    assert written in release.config()


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [
        ("--model-version", "new", "must be latest or the number of a version"),
        ("--repository", "", "must be the path of a folder"),
        ("--provider", "auto", "'cpu' or 'cuda'"),
        ("--instances", "0", "greater than or equal to 1"),
    ],
)
def test_wrong_setting_is_refused(release: Release, flag: str, value: str, reason: str) -> None:
    with pytest.raises(SettingsInvalid, match=reason):
        release.settings(flag, value)


def test_program_that_triton_runs_needs_fovea_alone() -> None:
    text = (ROOT / "server" / "triton" / "model.py").read_text()
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        (node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in imports
    }
    assert names - set(sys.stdlib_module_names) == {"fovea", "numpy", "triton_python_backend_utils"}
