"""Rows of a run asked again of a live server: does serving say what scoring wrote?"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from fovea.client import CallFailed, Classification, Client
from fovea.errors import FoveaError, ObjectChanged, ObjectMissing, ObjectUnreadable, Unavailable
from fovea.model.bundle import BundleContract, Precision
from fovea.model.classifier import CPU, GOLDEN_TOLERANCES
from fovea.stores.folder import Folder
from scorer.committing.multi_label import said
from scorer.committing.sample import SampledRow
from scorer.files.folders import open_source
from scorer.files.plan import RunSpec
from scorer.files.rows import escaped
from scorer.files.summary import Verification
from scorer.options import CommitOptions

if TYPE_CHECKING:
    from fovea.v1 import classify_pb2

EXACT: Final = 1e-5
"""What probabilities may differ by where the same file runs on a CPU, there as here."""
TIMEOUT_S: Final = 30.0
WINDOW: Final = 4
"""Images in flight: the server has callers of its own."""


def check_server(options: CommitOptions) -> None:
    """Before the night: raises what `verify` would for files of TLS or of a token that are of no use."""
    if options.verify:
        _client(options.verify, options).close()


def verify(
    target: str,
    rows: Sequence[SampledRow],
    run: RunSpec,
    contract: BundleContract | None,
    options: CommitOptions,
) -> Verification:
    """Asks the server at `target` for the planned version's answers, but of images that are gone by now.

    Raises Unavailable when the server cannot be reached, does not serve that version, or is newer and
    computes it at a precision that is not known here.
    """
    with _client(target, options) as client:
        model = _served_model(client, target, run)
        if model.precision not in GOLDEN_TOLERANCES:
            known = ", ".join(GOLDEN_TOLERANCES)
            raise Unavailable(
                f"--verify {target}: it computes in {model.precision}, and this scorer does not know what "
                f"that may differ by (it knows {known})"
            )
        other = _difference(model, run, contract)
        thresholds = dict(zip(model.labels, model.thresholds, strict=False))
        tally = _Tally(target, model.provider, model.precision, other, thresholds)
        replay = _Replay(open_source(run.source), rows, tally)
        answers = client.classify_many(
            replay.images(),
            top_k=len(model.labels),
            model_version=run.model_version,
            model=run.model_name,
            window=WINDOW,
        )
        for answer in answers:
            _judge(tally, replay.sent.popleft(), answer)
    return tally.result()


def refusal_of(verification: Verification) -> str | None:
    """What to tell when the server says something else."""
    if not verification.mismatches:
        return None
    other = f"; {verification.other_model}" if verification.other_model else ""
    return (
        f"the server at {verification.target} says something else than the rows for "
        f"{verification.mismatches} of {verification.asked} images, first {verification.first}{other}; "
        "latest.json stays: when both are the same model, run again with this --run-id"
    )


def _client(target: str, options: CommitOptions) -> Client:
    return Client(
        target,
        timeout_s=TIMEOUT_S,
        tls=options.verify_tls,
        tls_ca=options.verify_tls_ca,
        tls_cert=options.verify_tls_cert,
        tls_key=options.verify_tls_key,
        token_file=options.verify_token_file,
    )


def _served_model(client: Client, target: str, run: RunSpec) -> "classify_pb2.GetModelResponse":
    version = run.model_version
    try:
        try:
            return client.get_model(version, run.model_name)
        except CallFailed as error:
            if error.code.name != "NOT_FOUND":
                raise
        versions = ", ".join(map(str, client.get_model(model=run.model_name).loaded_versions))
    except CallFailed as error:
        raise Unavailable(f"--verify {target}: {error}") from error
    raise Unavailable(f"--verify {target}: version {version} is not served there (it has: {versions})")


def _difference(model: "classify_pb2.GetModelResponse", run: RunSpec, contract: BundleContract | None) -> str:
    expected: str | None = run.model_digest
    if model.precision != "fp32":
        variant = contract.variants.get(cast("Any", model.precision)) if contract else None
        expected = contract.files[variant.file] if contract and variant else None
    digest = model.model.digest
    if expected in {None, digest}:
        return ""
    return (
        f"its version {run.model_version} is another model (digest {digest[:12]}, not {str(expected)[:12]})"
    )


@dataclass
class _Tally:
    """What comes of it, image by image."""

    target: str
    provider: str
    precision: str
    other_model: str
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """of a multi-label model, by its labels"""
    asked: int = 0
    changed: int = 0
    gone: int = 0
    unreadable: int = 0
    largest_difference: float = 0.0
    mismatches: int = 0
    first: str = ""

    def result(self) -> Verification:
        rounded = float(f"{self.largest_difference:.3g}")
        return Verification(**{**vars(self), "largest_difference": rounded})


@dataclass
class _Replay:
    """The images as they are sent; `sent` are those whose answer has not come yet."""

    source: Folder
    rows: Sequence[SampledRow]
    tally: _Tally
    sent: deque[SampledRow] = field(default_factory=deque)

    def images(self) -> Iterator[bytes]:
        for row in self.rows:
            try:
                data = self.source.read(row.key, row.etag)
            except ObjectChanged:
                self.tally.changed += 1
            except ObjectMissing:
                self.tally.gone += 1
            except ObjectUnreadable:  # archived since: that leaves its etag, and so its row is carried
                self.tally.unreadable += 1
            else:
                self.tally.asked += 1
                self.sent.append(row)
                yield data


def _judge(tally: _Tally, row: SampledRow, answer: Classification | FoveaError) -> None:
    if isinstance(answer, CallFailed) and answer.code.name != "INVALID_ARGUMENT":
        raise Unavailable(f"--verify {tally.target}: {answer}") from answer
    if isinstance(answer, FoveaError):
        _note_mismatch(tally, row, f"refuses it: {answer}")
        return
    served = {prediction.label: prediction.probability for prediction in answer.predictions}
    off = max(abs(served.get(label, 0.0) - p) for label, p in row.probabilities.items())
    behind = _behind(tally, row, answer, served)
    tally.largest_difference = max(tally.largest_difference, off)
    tolerance = _tolerance(tally, row)
    if not (off <= tolerance and behind <= tolerance):
        _note_mismatch(tally, row, f"says {_text_of(answer)}")


def _behind(tally: _Tally, row: SampledRow, answer: Classification, served: Mapping[str, float]) -> float:
    """How far the row's answer is from being the served one: 0 where it is."""
    if row.selected is None:
        return answer.probability - served.get(row.label, 0.0)
    theirs = {each.label for each in answer.selected or ()}
    others = row.selected ^ theirs
    return max((abs(served.get(each, 0.0) - tally.thresholds.get(each, 1.0)) for each in others), default=0.0)


def _text_of(answer: Classification) -> str:
    if answer.selected is None:
        return f"{answer.label} {answer.probability:.4f}"
    return said(f"{each.label} {each.probability:.4f}" for each in answer.selected)


def _tolerance(tally: _Tally, row: SampledRow) -> float:
    on_cpus = tally.provider == row.provider == CPU
    if on_cpus and tally.precision == "fp32" and not tally.other_model:
        return EXACT
    return GOLDEN_TOLERANCES[cast("Precision", tally.precision)]


def _note_mismatch(tally: _Tally, row: SampledRow, says: str) -> None:
    tally.mismatches += 1
    if not tally.first:
        mine = row.label if row.selected is not None else f"{row.label} {row.probabilities[row.label]:.4f}"
        tally.first = f"{escaped(row.key)}: the row says {mine}, the server {says}"
