"""What a live server's answer is beside a row: the same, or not."""

from pathlib import Path

import grpc
import pytest

from fovea.client import CallFailed, Classification, ModelVersion, Prediction, Timing
from fovea.errors import DataInvalid, FoveaError, ObjectUnreadable, Unavailable
from fovea.model.bundle import BundleContract, ModelBundle, Variant
from fovea.model.classifier import CPU, CUDA
from fovea.stores.storage import LocalFolder
from fovea.v1 import classify_pb2
from scorer.committing.sample import SampledRow
from scorer.committing.verification import _difference, _judge, _Replay, _Tally, refusal_of
from scorer.files.summary import Verification
from tests.scorer.made_runs import made_spec


def answer(**probabilities: float) -> Classification:
    """Best first, as they are given."""
    predictions = tuple(Prediction(label, 0, p) for label, p in probabilities.items())
    return Classification(predictions, False, ModelVersion("m", 1, "d"), Timing(0, 0, 1, 0), "")


def row(key: str = "a.jpg", provider: str = CPU, **probabilities: float) -> SampledRow:
    return SampledRow(
        key, "1", max(probabilities, key=lambda label: probabilities[label]), probabilities, provider
    )


def judged(
    said: Classification | FoveaError,
    sampled: SampledRow,
    precision: str = "fp32",
    provider: str = CPU,
    other: str = "",
) -> Verification:
    tally = _Tally("there:1", provider, precision, other)
    _judge(tally, sampled, said)
    return tally.result()


def test_probabilities_may_differ_by_what_the_hardware_and_the_precision_explain() -> None:
    for precision, provider, rows_by, other, tolerance in (
        ("fp32", CPU, CPU, "", 1e-5),
        ("fp32", CPU, CPU, "it is another model", 1e-3),
        ("fp32", CPU, "", "", 1e-3),  # a row that was carried
        ("fp32", CPU, CUDA, "", 1e-3),
        ("fp32", CUDA, CPU, "", 1e-3),
        ("fp32", CUDA, CUDA, "", 1e-3),
        ("fp16", CPU, CPU, "", 2e-2),
        ("int8", CPU, CPU, "", 5e-2),
        ("int8-full", CPU, CPU, "", 5e-2),
    ):
        for off, mismatches in ((0.9 * tolerance, 0), (-0.9 * tolerance, 0), (1.1 * tolerance, 1)):
            said = answer(cat=0.7 - off, dog=0.2, emu=0.1)
            verification = judged(said, row(provider=rows_by, cat=0.7, dog=0.2), precision, provider, other)
            assert verification.mismatches == mismatches, (precision, provider, rows_by, other, off)
            assert verification.largest_difference == pytest.approx(abs(off), rel=1e-2)
            assert bool(verification.first) == bool(mismatches)


def test_a_best_label_may_be_another_where_the_two_are_as_good_as_equal() -> None:
    close = row(cat=0.5001, dog=0.4999)
    assert judged(answer(dog=0.5002, cat=0.4998), close, provider=CUDA).mismatches == 0
    assert judged(answer(dog=0.5009, cat=0.4992), close, provider=CUDA).mismatches == 1
    only_the_best = row(cat=0.4)
    assert judged(answer(dog=0.55, cat=0.4), only_the_best, provider=CUDA).mismatches == 1
    assert judged(answer(dog=0.4004, cat=0.4), only_the_best, provider=CUDA).mismatches == 0


def test_a_label_that_one_of_them_does_not_have_has_no_probability() -> None:
    """Of another model, whose labels are others: a probability of next to nothing is none."""
    small = judged(answer(cat=0.9996, emu=0.0004), row(cat=0.9996, dog=0.0004), provider=CUDA)
    assert (small.mismatches, small.largest_difference) == (0, 0.0004)
    assert judged(answer(emu=0.04), row(cat=0.04), "int8").mismatches == 0
    large = judged(answer(emu=1.0), row(cat=1.0), provider=CUDA)
    assert (large.mismatches, large.largest_difference) == (1, 1.0)
    assert large.first == "a.jpg: the row says cat 1.0000, the server says emu 1.0000"


def test_mismatches_are_counted_the_first_told_and_the_largest_difference_kept() -> None:
    tally = _Tally("there:1", CPU, "fp32", "")
    _judge(tally, row("a", cat=0.9), answer(cat=0.9))
    assert tally.result() == Verification(
        target="there:1",
        provider=CPU,
        precision="fp32",
        other_model="",
        asked=0,
        changed=0,
        gone=0,
        unreadable=0,
        largest_difference=0,
        mismatches=0,
        first="",
    )
    for key, said in (("b\udce9", 0.65432), ("c", 0.2), ("d", 0.9)):
        _judge(tally, row(key, cat=0.9), answer(cat=said))
    _judge(tally, row("e", cat=0.9), CallFailed(grpc.StatusCode.INVALID_ARGUMENT, "it is no image"))
    _judge(tally, row("f", cat=0.9), DataInvalid("nothing in it"))
    verification = tally.result()
    assert (verification.mismatches, verification.largest_difference) == (4, 0.7)
    assert verification.first == r"b\xe9: the row says cat 0.9000, the server says cat 0.6543"
    refused = judged(CallFailed(grpc.StatusCode.INVALID_ARGUMENT, "it is no image"), row(cat=0.9))
    assert refused.first == "a.jpg: the row says cat 0.9000, the server refuses it: it is no image"
    assert judged(answer(cat=0.123456), row(cat=0)).largest_difference == 0.123


def test_a_server_that_does_not_answer_is_no_mismatch() -> None:
    for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.NOT_FOUND):
        with pytest.raises(Unavailable, match=r"--verify there:1: it is gone"):
            judged(CallFailed(code, "it is gone"), row(cat=0.9))


def test_what_the_server_said_is_told_where_it_is_something_else() -> None:
    same = judged(answer(cat=0.9), row(cat=0.9))
    assert refusal_of(same) is None
    other = same.model_copy(update={"mismatches": 2, "asked": 5, "first": "a.jpg: so and so"})
    start = (
        "the server at there:1 says something else than the rows for 2 of 5 images, first a.jpg: so and so"
    )
    assert str(refusal_of(other)).startswith(f"{start}; latest.json stays: ")
    named = other.model_copy(update={"other_model": "it is another"})
    assert str(refusal_of(named)).startswith(f"{start}; it is another; latest.json stays: ")


def test_what_is_not_there_any_more_is_counted_and_not_asked(tmp_path: Path) -> None:
    class Source(LocalFolder):
        def read(self, key: str, etag: str = "") -> bytes:
            if key.startswith("archived"):
                raise ObjectUnreadable(f"{key}: it is archived")
            return super().read(key, etag)

    rows = []
    for key in ("a", "archived", "b", "changed", "changed-too", "gone", "c", "gone-too", "gone-as-well"):
        (tmp_path / key).write_text(key)
        rows.append(SampledRow(key, LocalFolder(tmp_path).stat(key).etag, "cat", {"cat": 0.9}, CPU))
        if key.startswith("gone"):
            (tmp_path / key).unlink()
        if key.startswith("changed"):
            (tmp_path / key).write_text("another by now")
    tally = _Tally("there:1", CPU, "fp32", "")
    replay = _Replay(Source(tmp_path), rows, tally)
    assert list(replay.images()) == [b"a", b"b", b"c"]
    assert [sent.key for sent in replay.sent] == ["a", "b", "c"]
    verification = tally.result()
    assert (verification.asked, verification.changed, verification.gone, verification.unreadable) == (
        3,
        2,
        3,
        1,
    )


def test_another_model_is_told_by_the_digest_of_its_precision(tiny_bundle: ModelBundle) -> None:
    digest, half = tiny_bundle.digest, "f" * 64
    variant = Variant(file="model.fp16.onnx", metrics=tiny_bundle.contract.metrics, golden=())
    files = {**tiny_bundle.contract.files, "model.fp16.onnx": half}
    contract = tiny_bundle.contract.model_copy(update={"variants": {"fp16": variant}, "files": files})
    run = made_spec(model_digest=digest, model_version=3)

    def told(precision: str, served: str, planned: BundleContract | None) -> str:
        model = classify_pb2.GetModelResponse(
            precision=precision, model=classify_pb2.ModelVersion(digest=served)
        )
        return _difference(model, run, planned)

    for precision, served, planned in (
        *(("fp32", digest, contract), ("fp32", digest, None), ("fp16", half, contract)),
        *(("fp16", half, None), ("int8", half, contract)),  # nothing tells of its digest
    ):
        assert told(precision, served, planned) == ""
    for precision, expected in (("fp32", digest), ("fp16", half)):
        assert told(precision, "0" * 64, contract) == (
            f"its version 3 is another model (digest 000000000000, not {expected[:12]})"
        )
