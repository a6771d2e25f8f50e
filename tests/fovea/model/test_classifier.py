"""A classifier gives the released answers, or does not come up."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest

from fovea.errors import BundleInvalid, SettingsInvalid, Unavailable
from fovea.images.formats import image_path
from fovea.images.preprocess import Pixels, decode_image
from fovea.model import bundle as bundles
from fovea.model import classifier as classifiers
from fovea.model.classifier import CPU, Classifier, top_k
from fovea.model.io_binding import Answers, IoBinding
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.stage_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def reseal(folder: Path, **changes: Any) -> bundles.ModelBundle:
    """Makes the folder's digests right again, so that only the golden check can object."""
    return bundles.seal(folder, bundles.read_contract(folder).model_copy(update=changes))


def test_it_names_the_colours(tiny_classifier: Classifier) -> None:
    pixels = np.stack([decode_image(tiny.picture(label), tiny.SPEC) for label in tiny.LABELS])
    probabilities = tiny_classifier.classify(pixels)
    assert probabilities.dtype == np.float32
    assert [tiny_classifier.labels[i] for i in probabilities.argmax(axis=1)] == list(tiny.LABELS)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 7, 32])
def test_the_batch_size_does_not_change_the_answer(tiny_classifier: Classifier, size: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size, 16, 16, 3), dtype=np.uint8)
    one_by_one = np.concatenate([tiny_classifier.classify(pixels[i : i + 1]) for i in range(size)])
    np.testing.assert_array_equal(tiny_classifier.classify(pixels), one_by_one)


@pytest.mark.parametrize("shape", [(16, 16, 3), (1, 16, 15, 3), (1, 3, 16, 16)])
def test_pixels_of_another_shape_are_refused(tiny_classifier: Classifier, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[n, 16, 16, 3\]"):
        tiny_classifier.classify(np.zeros(shape, np.uint8))


def test_float_pixels_are_refused(tiny_classifier: Classifier) -> None:
    with pytest.raises(ValueError, match="float32"):
        tiny_classifier.classify(np.zeros((1, 16, 16, 3), np.float32))


def test_swapped_weights_fail_the_golden_check(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "weights")
    swapped = onnx.numpy_helper.to_array(weights)[:, [1, 0, 2]]
    weights.CopyFrom(onnx.numpy_helper.from_array(swapped, "weights"))
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(BundleInvalid, match="golden check failed: probabilities are off by"):
        Classifier(reseal(folder))


def test_a_golden_image_with_other_pixels_fails_the_golden_check(folder: Path) -> None:
    (folder / "golden" / "03.png").write_bytes(tiny.picture("blue", (77, 24)))
    with pytest.raises(BundleInvalid, match="golden image 3 does not decode to the pixels"):
        Classifier(reseal(folder))


def other_crops(folder: Path, levels: int) -> None:
    """As if the bundle had been released by a decoder that gives each channel of a pixel so much more."""
    with np.load(folder / "golden.npz") as arrays:
        crops, probabilities = arrays["crops"].astype(int), arrays["probabilities"]
    crops[2, 7, 7] += levels
    np.savez(folder / "golden.npz", crops=crops.astype(np.uint8), probabilities=probabilities)


def test_so_many_golden_images_are_checked_as_are_asked_for(folder: Path) -> None:
    other_crops(folder, 2)  # of the third one
    bundle = reseal(folder)
    Classifier(bundle, golden_images=2)
    with pytest.raises(BundleInvalid, match="golden image 2"):
        Classifier(bundle, golden_images=3)
    with np.load(folder / "golden.npz") as arrays:
        np.savez(folder / "golden.npz", crops=arrays["crops"], probabilities=arrays["probabilities"][::-1])
    with pytest.raises(BundleInvalid, match="golden check failed: probabilities are off by"):
        Classifier(reseal(folder), golden_images=1)


def test_the_memory_of_a_check_of_all_is_given_back_and_that_of_a_few_kept_as_their_size_is_run_next(
    folder: Path,
) -> None:
    given_back: list[int | None] = []

    class Watched(Classifier):
        def answers(self, pixels: Pixels, outputs: Sequence[str], give_back: bool = False) -> list[Answers]:
            given_back.append(len(pixels) if give_back else None)
            return super().answers(pixels, outputs, give_back)

    bundle = reseal(folder)
    for images in (None, 2):
        Watched(bundle, golden_images=images)
    assert given_back == [6, None]


def test_golden_images_that_are_one_level_off_load_and_are_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other_crops(folder, 1)
    before = {**image_path(), "pillow": "12.3.0", "libheif": "1.0"}
    for known, why in (
        ({}, "the image libraries or the preprocessing differ"),
        (before, "not 12.3.0, libheif"),
    ):
        caplog.clear()
        Classifier(reseal(folder, image_path=known))
        (line,) = caplog.messages
        assert "1 of 6 golden images differ by one level" in line
        assert why in line


def test_bundle_of_before_decoders_were_noted_loads(folder: Path) -> None:
    contract = json.loads((folder / "bundle.json").read_bytes())
    del contract["image_path"]
    (folder / "bundle.json").write_text(json.dumps(contract))
    assert Classifier(bundles.ModelBundle.open(folder)).bundle.contract.image_path == {}


def test_golden_images_that_are_two_levels_off_are_refused_with_what_differs(folder: Path) -> None:
    other_crops(folder, 2)
    with pytest.raises(BundleInvalid, match=r"golden image 2 does not .* by 2 levels; .* are the same"):
        Classifier(reseal(folder, image_path=image_path()))
    with pytest.raises(BundleInvalid, match=r"here is pillow [\d.]+, not 12\.3\.0$"):
        Classifier(reseal(folder, image_path={**image_path(), "pillow": "12.3.0"}))


def test_probabilities_are_checked_where_golden_images_are_one_level_off(folder: Path) -> None:
    other_crops(folder, 1)
    with np.load(folder / "golden.npz") as arrays:
        np.savez(folder / "golden.npz", crops=arrays["crops"], probabilities=arrays["probabilities"][::-1])
    with pytest.raises(BundleInvalid, match="golden check failed: probabilities are off by"):
        Classifier(reseal(folder))


def test_probabilities_may_be_off_by_what_a_precision_costs_and_no_more(folder: Path) -> None:
    """The variants are copies of the model, with golden answers that are off."""
    golden = bundles.ModelBundle.open(folder).golden()
    limits: dict[bundles.Precision, float] = {"fp32": 0.001, "fp16": 0.02, "int8": 0.05, "int8-full": 0.05}
    for precision, limit in limits.items():
        for off, is_accepted in ((0.95 * limit, True), (1.05 * limit, False)):
            moved = golden.probabilities.copy()
            moved[4, 1] += off
            if precision == "fp32":
                np.savez(folder / "golden.npz", crops=golden.crops, probabilities=moved)
                released = reseal(folder)
            else:
                np.savez(folder / "golden.npz", crops=golden.crops, probabilities=golden.probabilities)
                released = with_variant(folder, precision, moved)
            if is_accepted:
                assert Classifier(released, precision=precision, threads=1).precision == precision
            else:
                with pytest.raises(BundleInvalid, match=f"more than {limit:g}, on {CPU}"):
                    Classifier(released, precision=precision, threads=1)


def with_variant(
    folder: Path, precision: bundles.OtherPrecision, golden: npt.NDArray[np.float32]
) -> bundles.ModelBundle:
    file, metrics = f"model.{precision}.onnx", bundles.read_contract(folder).metrics
    shutil.copy(folder / "model.onnx", folder / file)
    variant = bundles.Variant(file=file, metrics=metrics, golden=tuple(map(tuple, golden.tolist())))
    return reseal(folder, variants={precision: variant})


def test_a_gpu_is_given_batches_of_powers_of_two_up_to_64(
    tiny_bundle: bundles.ModelBundle, tiny_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, taken for a GPU: what differs there is where the buffers lie."""
    asked: list[Sequence[int]] = []

    def bind(
        session: ort.InferenceSession, side: int, outputs: Mapping[str, int], sizes: Sequence[int]
    ) -> IoBinding:
        asked.append(sizes)
        return IoBinding(session, side, outputs, sizes, device="cpu")

    monkeypatch.setattr(classifiers, "CUDA", CPU)
    monkeypatch.setattr(classifiers, "IoBinding", bind)
    on_gpu = Classifier(tiny_bundle, "cpu", threads=1)
    assert asked == [(1, 2, 4, 8, 16, 32, 64)]
    pixels = np.random.default_rng(0).integers(0, 256, (67, 16, 16, 3), dtype=np.uint8)
    assert np.array_equal(on_gpu.classify(pixels), tiny_classifier.classify(pixels))
    both = on_gpu.classify_with_logits(pixels)
    assert np.array_equal(both, tiny_classifier.classify_with_logits(pixels))


def test_a_golden_image_that_does_not_decode_fails_the_golden_check(folder: Path) -> None:
    (folder / "golden" / "00.png").write_bytes(b"not an image")
    with pytest.raises(BundleInvalid, match="golden image 0"):
        Classifier(reseal(folder))


def test_labels_changed_in_the_contract_alone_are_refused(folder: Path) -> None:
    changed = reseal(folder, labels=("green", "red", "blue"))
    with pytest.raises(BundleInvalid, match="differ"):
        Classifier(changed)


def test_a_model_without_a_contract_is_refused(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(BundleInvalid, match="carries no contract"):
        Classifier(reseal(folder))


def test_a_file_that_is_not_onnx_is_refused_in_one_line(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"garbage")
    with pytest.raises(BundleInvalid, match="onnxruntime cannot load it") as caught:
        Classifier(reseal(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="CUDA is here")
def test_a_provider_asked_for_by_name_is_never_replaced(folder: Path) -> None:
    with pytest.raises(Unavailable, match="has no CUDAExecutionProvider"):
        Classifier(bundles.ModelBundle.open(folder), provider="cuda")


def test_no_threads_are_refused(folder: Path) -> None:
    with pytest.raises(SettingsInvalid, match="threads must be at least 1"):
        Classifier(bundles.ModelBundle.open(folder), threads=0)


def test_top_k_is_best_first_and_ties_go_to_the_lower_index() -> None:
    probabilities = np.array([[0.1, 0.4, 0.4, 0.1]], np.float32)
    indices, values = top_k(probabilities, 3)
    assert indices.tolist() == [[1, 2, 0]]
    np.testing.assert_allclose(values, [[0.4, 0.4, 0.1]])


def test_the_onnx_file_alone_tells_labels_and_preprocessing(folder: Path) -> None:
    embedded = {p.key: p.value for p in onnx.load(folder / "model.onnx").metadata_props}["fovea"]
    shutil.rmtree(folder)
    contract = json.loads(embedded)
    assert contract["labels"] == list(tiny.LABELS)
    assert contract["preprocess"]["size"] == 16
