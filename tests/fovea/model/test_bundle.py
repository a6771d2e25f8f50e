"""A bundle is whole, unchanged and says what it is, or it is not opened."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.errors import BundleInvalid, ExitCode
from fovea.model.bundle import (
    CONTRACT_FILE,
    BundleContract,
    ModelBundle,
    Variant,
    canonical_json,
    file_digest,
    read_contract,
    seal,
)
from fovea.model.golden import Golden, write_golden
from tests import tiny


@pytest.fixture
def copy(tiny_models: Path, tmp_path: Path) -> Path:
    """A bundle of the test's own, to be damaged."""
    return Path(shutil.copytree(tiny_models / "1", tmp_path / "1"))


def change_contract(folder: Path, **changes: Any) -> None:
    contract = json.loads((folder / CONTRACT_FILE).read_text())
    (folder / CONTRACT_FILE).write_text(json.dumps(contract | changes))


def refusal(folder: Path) -> str:
    with pytest.raises(BundleInvalid) as caught:
        ModelBundle.open(folder)
    assert caught.value.exit_code == ExitCode.BAD_DATA
    return str(caught.value)


def test_a_released_bundle_opens_with_its_labels_and_golden_images(tiny_bundle: ModelBundle) -> None:
    golden = tiny_bundle.golden()
    assert tiny_bundle.contract.labels == tiny.LABELS
    assert len(golden.files) == len(golden.crops) == len(golden.probabilities) == 6
    np.testing.assert_allclose(golden.probabilities.sum(axis=1), 1, atol=1e-6)


def test_the_digest_is_that_of_the_onnx_file(tiny_bundle: ModelBundle) -> None:
    assert tiny_bundle.digest == file_digest(tiny_bundle.path / "model.onnx")


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "golden/00.png", "report.html"])
def test_a_changed_byte_is_refused_and_the_file_named(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    assert f"{copy / name}: changed since it was released" in refusal(copy)


def test_a_missing_file_is_refused_and_named(copy: Path) -> None:
    (copy / "model.onnx").unlink()
    assert f"{copy / 'model.onnx'}: missing" in refusal(copy)


def test_a_file_that_cannot_be_read_is_refused_and_named(copy: Path) -> None:
    (copy / "model.onnx").unlink()
    (copy / "model.onnx").symlink_to("model.onnx")
    assert f"{copy / 'model.onnx'}: cannot be read: Too many levels of symbolic links" in refusal(copy)


def test_a_folder_without_a_contract_is_not_a_bundle(copy: Path) -> None:
    (copy / CONTRACT_FILE).unlink()
    assert "not a model bundle" in refusal(copy)


def test_a_folder_that_does_not_exist_is_not_a_bundle(tmp_path: Path) -> None:
    assert "not a model bundle" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": 2}, "format"),
        ({"labels": ["red", "red", "blue"]}, "a label stands twice"),
        ({"labels": ["red"]}, "labels"),
        ({"temperature": 0}, "temperature"),
        ({"surprise": 1}, "surprise"),
        ({"version": -1}, "version"),
        ({"abstain_threshold": -0.01}, "abstain_threshold"),
        ({"abstain_threshold": 1.01}, "abstain_threshold"),
        ({"files": {"model.onnx": "00"}}, "lists no golden.npz"),
        ({"files": {"golden.npz": "00"}}, "lists no model.onnx"),
        ({"files": {}}, "lists no golden.npz"),
    ],
)
def test_a_contract_that_says_nonsense_is_refused(
    copy: Path, changes: dict[str, Any], complaint: str
) -> None:
    change_contract(copy, **changes)
    assert complaint in refusal(copy)


def with_fp16(folder: Path, golden: Any) -> ModelBundle:
    contract = read_contract(folder)
    variant = Variant(file="model.fp16.onnx", metrics=contract.metrics, golden=golden)
    return ModelBundle(folder, contract.model_copy(update={"variants": {"fp16": variant}}))


def test_a_variant_whose_file_is_not_listed_is_refused(copy: Path) -> None:
    contract = with_fp16(copy, ()).contract
    (copy / CONTRACT_FILE).write_text(contract.model_dump_json())
    assert "lists no model.fp16.onnx, the file of fp16" in refusal(copy)


def test_a_variant_has_golden_probabilities_of_its_own_for_each_image_and_class(copy: Path) -> None:
    rows = [[0.5, 0.25, 0.25]] * 6
    np.testing.assert_array_equal(with_fp16(copy, rows).golden_probabilities("fp16"), rows)
    for wrong in (rows[:5], [*rows[:5], rows[0][:2]], [row * 2 for row in rows]):
        with pytest.raises(BundleInvalid, match="golden probabilities of fp16 do not fit"):
            with_fp16(copy, wrong).golden_probabilities("fp16")


def test_each_precision_has_a_file_a_digest_and_metrics_of_its_own(copy: Path) -> None:
    contract = read_contract(copy)
    metrics = contract.metrics.model_copy(update={"accuracy": 0.5})
    variant = Variant(file="model.fp16.onnx", metrics=metrics, golden=())
    files = contract.files | {"model.fp16.onnx": "16"}
    bundle = ModelBundle(copy, contract.model_copy(update={"variants": {"fp16": variant}, "files": files}))
    assert bundle.contract.metrics_of("fp32") == contract.metrics
    assert bundle.contract.metrics_of("fp16") == metrics
    with pytest.raises(KeyError):
        bundle.contract.metrics_of("int8")
    assert (bundle.file_of("fp32"), bundle.digest_of("fp32")) == (copy / "model.onnx", bundle.digest)
    assert (bundle.file_of("fp16"), bundle.digest_of("fp16")) == (copy / "model.fp16.onnx", "16")
    for lookup in (bundle.file_of, bundle.digest_of, bundle.golden_probabilities):
        with pytest.raises(BundleInvalid, match=r"has no int8 model \(it has: fp32, fp16\)"):
            lookup("int8")


def test_what_was_verified_a_moment_ago_is_verified_again_as_far_as_it_will_be_run(copy: Path) -> None:
    contract = with_fp16(copy, ()).contract
    for name in ("model.fp16.onnx", "model.onnx"):
        (copy / "model.fp16.onnx").write_bytes(b"another model")
        seal(copy, contract)
        (copy / "report.html").write_bytes(b"changed")
        assert ModelBundle.open_again(copy).contract.variants.keys() == {"fp16"}
        (copy / name).write_bytes(b"changed")
        with pytest.raises(BundleInvalid, match=f"{name}: changed since it was released"):
            ModelBundle.open_again(copy)
        (copy / name).unlink()
        with pytest.raises(BundleInvalid, match=f"{name}: missing"):
            ModelBundle.open_again(copy)


def test_a_contract_may_say_what_is_just_within_bounds(copy: Path) -> None:
    for changes in (
        {"version": 0},
        {"abstain_threshold": 0},
        {"abstain_threshold": 1},
        {"temperature": 0.001},
        {"labels": ["red", "blue"]},
    ):
        change_contract(copy, **changes)
        assert json.loads(read_contract(copy).model_dump_json()).items() >= changes.items()


def test_a_contract_that_leaves_out_its_format_is_of_the_first(copy: Path) -> None:
    contract = json.loads((copy / CONTRACT_FILE).read_text())
    del contract["format"]
    (copy / CONTRACT_FILE).write_text(json.dumps(contract))
    assert read_contract(copy).format == 1


def test_sealing_lists_every_file_but_the_contract_itself(copy: Path) -> None:
    sealed = seal(copy, read_contract(copy))
    files = {str(file.relative_to(copy)) for file in copy.rglob("*") if file.is_file()} - {CONTRACT_FILE}
    assert sealed.contract.files == {name: file_digest(copy / name) for name in files}
    assert ModelBundle.open(copy) == sealed
    text = (copy / CONTRACT_FILE).read_text()
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def test_json_to_be_compared_is_the_same_for_equal_values() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "\u00e4"}) == '{"a":"\u00e4","b":[1,2.5]}'


def test_golden_files_have_numbers_for_names(tmp_path: Path, tiny_bundle: ModelBundle) -> None:
    golden = tiny_bundle.golden()
    two = Golden(golden.files[:2], golden.crops[:2], golden.probabilities[:2])
    write_golden(tmp_path, two, (".png", ".jpg"))
    assert (tmp_path / "golden" / "00.png").read_bytes() == two.files[0]
    assert (tmp_path / "golden" / "01.jpg").read_bytes() == two.files[1]
    with pytest.raises(ValueError, match="zip"):
        write_golden(tmp_path / "golden", two, (".png",))


def test_golden_arrays_of_another_shape_or_type_than_the_contract_says_are_refused(copy: Path) -> None:
    golden = ModelBundle.open(copy).golden()
    for crops, probabilities in (
        (golden.crops[:5], golden.probabilities),
        (golden.crops, golden.probabilities[:, :2]),
        (golden.crops.astype(np.int16), golden.probabilities),
        (golden.crops, golden.probabilities.astype(np.float64)),
    ):
        np.savez(copy / "golden.npz", crops=crops, probabilities=probabilities)
        with pytest.raises(BundleInvalid, match=r"golden\.npz: (its shapes do not fit|crops must be uint8)"):
            ModelBundle(copy, read_contract(copy)).golden()


def test_a_contract_may_not_reach_outside_its_folder(copy: Path) -> None:
    files = json.loads((copy / CONTRACT_FILE).read_text())["files"]
    change_contract(copy, files=files | {"../../etc/passwd": "00"})
    assert "outside the bundle" in refusal(copy)
    change_contract(copy, files=files | {"/etc/passwd": "00"})
    assert "outside the bundle" in refusal(copy)


def test_a_contract_that_is_not_json_is_refused(copy: Path) -> None:
    (copy / CONTRACT_FILE).write_text("half a contr")
    assert "not a bundle contract" in refusal(copy)


def test_golden_arrays_are_read_without_pickle(copy: Path) -> None:
    np.savez(copy / "golden.npz", crops=np.array([{}], dtype=object), probabilities=np.zeros(1))
    change_contract(
        copy,
        files=read_contract(copy).files | {"golden.npz": file_digest(copy / "golden.npz")},
    )
    with pytest.raises(BundleInvalid, match="cannot be read"):
        ModelBundle.open(copy).golden()


def test_a_contract_that_cannot_be_read_is_refused(copy: Path) -> None:
    (copy / CONTRACT_FILE).unlink()
    (copy / CONTRACT_FILE).mkdir()
    assert f"{copy / CONTRACT_FILE}: cannot be read: Is a directory" in refusal(copy)


def test_golden_arrays_that_are_cut_off_are_refused(copy: Path) -> None:
    (copy / "golden.npz").write_bytes((copy / "golden.npz").read_bytes()[:100])
    bundle = ModelBundle(copy, read_contract(copy))
    with pytest.raises(BundleInvalid, match=r"golden\.npz: cannot be read"):
        bundle.golden()


def test_the_embedded_contract_is_the_same_for_every_version(tiny_bundle: ModelBundle) -> None:
    contract: BundleContract = tiny_bundle.contract
    assert contract.model_copy(update={"version": 9, "name": "other"}).embedded() == contract.embedded()
    assert contract.model_copy(update={"temperature": 2.0}).embedded() != contract.embedded()
