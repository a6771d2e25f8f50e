"""The model bundle: one folder that holds a released model and everything needed to use it rightly.

model.onnx     pixels uint8 [batch, S, S, 3] -> logits, probabilities float32 [batch, classes], and, not in
               older bundles, embedding float32 [batch, D]
model.fp16.onnx, model.int8.onnx, model.int8-full.onnx   where released: the same inputs and outputs, at
               another precision
golden.npz     `crops` uint8 [n, S, S, 3] and the `probabilities` float32 [n, classes] expected of them
reference.npy  the classes as the network sees them, from which an image's distance is measured: the fields of
               `KnownClasses`; not in older bundles
golden/        the files that those crops were decoded from, in the order of their names
report.html    what happened in training
bundle.json    the contract: a `BundleContract`; written last. A folder without it is not a bundle
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, JsonValue, ValidationError, model_validator

from fovea.errors import BundleInvalid, ObjectMissing
from fovea.frozen import Frozen
from fovea.images.spec import PreprocessSpec
from fovea.model.golden import GOLDEN_FILE, GOLDEN_FOLDER, Golden, read_golden_arrays
from fovea.model.measured import Metrics, Opinion
from fovea.stores.storage import LocalFolder
from fovea.truth.known_classes import REFERENCE_FILE, Distances, KnownClasses, read_known_classes
from fovea.truth.novelty import UnlessOfAnotherKind
from fovea.truth.sets import PredictionSets

CONTRACT_FILE: Final = "bundle.json"
MODEL_FILE: Final = "model.onnx"
REPORT_FILE: Final = "report.html"
OtherPrecision = Literal["fp16", "int8", "int8-full"]
"""int8 has weights of seven bits, whose sums every processor computes exactly; int8-full has eight."""
Precision = Literal["fp32", OtherPrecision]

EMBEDDING: Final = "embedding"
METADATA_KEY: Final = "fovea"
"""Where the ONNX file's own metadata_props carry `BundleContract.embedded()`."""


class TensorSpec(Frozen):
    """One input or output of the ONNX graph; a dimension that varies is named."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Variant(Frozen):
    """The model at another precision than fp32; its digest stands in `BundleContract.files`."""

    file: str = Field(description="path in the bundle")
    metrics: Metrics
    golden: tuple[tuple[float, ...], ...] = Field(
        description="its own probabilities [n, classes] of the golden images"
    )
    prediction_sets: PredictionSets | None = Field(None, description="by its own probabilities")
    golden_distances: tuple[float, ...] | None = Field(
        None, description="of the golden images, by its own embeddings; not in older bundles"
    )


class BundleContract(Frozen):
    """The content of bundle.json."""

    format: Literal[1] = 1
    name: str
    version: int = Field(ge=0, description="0 while it is not published")
    created: datetime
    files: dict[str, str] = Field(description="path in the bundle -> sha256, hexadecimal")
    labels: tuple[str, ...] = Field(min_length=2, description="in the order of the model's outputs")
    preprocess: PreprocessSpec
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metrics: Metrics
    measured_on: Literal["heldout", "test"] = Field(
        "heldout",
        description="the part of the data that all metrics are of: on test nothing was chosen, on heldout "
        "the epochs, the temperature, the abstain threshold and the precisions were",
    )
    variants: dict[OtherPrecision, Variant] = Field(
        default={}, description="the other precisions that were released"
    )
    temperature: float = Field(gt=0)
    abstain_threshold: float = Field(ge=0, le=1)
    verdict: Opinion | None = Field(None, description="whether to ship; not in older bundles")
    training: dict[str, JsonValue] = Field(
        description="architecture, weights, data digest, decisions, versions"
    )
    image_path: dict[str, str] = Field(
        default={},
        description="revision and decoders that the golden crops were made by; of old bundles, none",
    )
    out_of_distribution: UnlessOfAnotherKind = Field(
        None, description="when an image is unlike all of the training's; not in older bundles"
    )
    prediction_sets: PredictionSets | None = Field(
        None,
        description="how an image's set of labels is made; none where too few images were held out, and in "
        "older bundles",
    )

    @model_validator(mode="after")
    def _labels_are_unique(self) -> "BundleContract":
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label stands twice in labels")
        return self

    @property
    def output_values(self) -> dict[str, int]:
        """How many values of an image each output has."""
        return {output.name: int(output.shape[1]) for output in self.outputs}

    @property
    def gives_embeddings(self) -> bool:
        """Older models give none."""
        return EMBEDDING in self.output_values

    def metrics_of(self, precision: Precision) -> Metrics:
        """As it was measured at the release; raises KeyError for a precision that there is not."""
        return self.metrics if precision == "fp32" else self.variants[precision].metrics

    def sets_of(self, precision: Precision) -> PredictionSets | None:
        """Each precision has its own; raises KeyError for one that there is not."""
        return self.prediction_sets if precision == "fp32" else self.variants[precision].prediction_sets

    def embedded(self) -> str:
        """What the ONNX file repeats of the contract, as canonical JSON; loading compares the two."""
        fields = {
            *("format", "labels", "preprocess", "inputs", "outputs"),
            *("temperature", "abstain_threshold"),
        }
        return canonical_json(self.model_dump(mode="json", include=fields))


@dataclass(frozen=True)
class ModelBundle:
    """A bundle in a local folder, complete and with every file as its digest says."""

    path: Path
    contract: BundleContract

    @classmethod
    def open(cls, path: Path) -> "ModelBundle":
        """Reads the contract and verifies every file's digest. Raises BundleInvalid."""
        contract = read_contract(path)
        for name, digest in contract.files.items():
            _verify(path / name, digest)
        return cls(path, contract)

    @classmethod
    def open_again(cls, path: Path) -> "ModelBundle":
        """As `open`, for a bundle that was verified a moment ago: only what will be run is verified again."""
        bundle = cls(path, read_contract(path))
        precisions: list[Precision] = ["fp32", *bundle.contract.variants]
        for precision in precisions:
            _verify(bundle.file_of(precision), bundle.digest_of(precision))
        return bundle

    @property
    def model_path(self) -> Path:
        return self.path / MODEL_FILE

    @property
    def digest(self) -> str:
        """sha256 of the ONNX file, hexadecimal."""
        return self.contract.files[MODEL_FILE]

    def file_of(self, precision: Precision) -> Path:
        """The ONNX file of a precision. Raises BundleInvalid, naming those that there are."""
        if precision == "fp32":
            return self.model_path
        if precision not in self.contract.variants:
            released = ", ".join(("fp32", *self.contract.variants))
            raise BundleInvalid(f"{self.path}: has no {precision} model (it has: {released})")
        return self.path / self.contract.variants[precision].file

    def digest_of(self, precision: Precision) -> str:
        """sha256 of the precision's ONNX file, hexadecimal. Raises BundleInvalid where there is none."""
        return self.contract.files[str(self.file_of(precision).relative_to(self.path))]

    def golden_probabilities(self, precision: Precision) -> npt.NDArray[np.float32]:
        """[n, classes] as that precision must give them. Raises BundleInvalid where they do not fit."""
        golden = self.golden().probabilities
        if precision == "fp32":
            return golden
        self.file_of(precision)
        own = self.contract.variants[precision].golden
        if len(own) != len(golden) or any(len(row) != golden.shape[1] for row in own):
            raise BundleInvalid(
                f"{self.path}: the golden probabilities of {precision} do not fit the contract"
            )
        return np.array(own, np.float32).reshape(golden.shape)

    def golden_distances(self, precision: Precision) -> Distances | None:
        """[n] as that precision must give them; None of older bundles. Raises BundleInvalid."""
        if self.contract.out_of_distribution is None:
            return None
        own: tuple[float, ...] | None = self.contract.out_of_distribution.golden
        if precision != "fp32":
            own = self.contract.variants[precision].golden_distances
        if own is None or len(own) != len(self.golden_probabilities(precision)):
            raise BundleInvalid(f"{self.path}: the golden distances of {precision} do not fit the contract")
        return np.array(own, np.float32)

    def golden(self) -> Golden:
        """Raises BundleInvalid when the golden files and golden.npz do not belong together."""
        crops, probabilities = read_golden_arrays(self.path / GOLDEN_FILE)
        names = sorted(name for name in self.contract.files if name.startswith(f"{GOLDEN_FOLDER}/"))
        side, classes = self.contract.preprocess.size, len(self.contract.labels)
        if crops.shape != (len(names), side, side, 3) or probabilities.shape != (len(names), classes):
            raise BundleInvalid(f"{self.path / GOLDEN_FILE}: its shapes do not fit the contract")
        return Golden(tuple((self.path / name).read_bytes() for name in names), crops, probabilities)

    def known_classes(self) -> KnownClasses | None:
        """From what an image's distance is measured; None of older bundles. Raises BundleInvalid."""
        if self.contract.out_of_distribution is None:
            return None
        known_classes = read_known_classes(self.path / REFERENCE_FILE)
        if known_classes.values != self.contract.output_values.get(EMBEDDING):
            raise BundleInvalid(f"{self.path / REFERENCE_FILE}: its shape does not fit the contract")
        return known_classes


def read_contract(path: Path) -> BundleContract:
    """The contract of the bundle in this folder, its files unverified. Raises BundleInvalid."""
    try:
        return parse_contract((path / CONTRACT_FILE).read_bytes(), str(path / CONTRACT_FILE))
    except (FileNotFoundError, NotADirectoryError, ObjectMissing):
        raise BundleInvalid(f"{path}: not a model bundle (there is no {CONTRACT_FILE} in it)") from None
    except OSError as error:
        raise BundleInvalid(f"{path / CONTRACT_FILE}: cannot be read: {error.strerror}") from error


def parse_contract(data: bytes, where: str) -> BundleContract:
    """Raises BundleInvalid, naming `where` and the field that is wrong."""
    try:
        contract = BundleContract.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise BundleInvalid(f"{where}: not a bundle contract: {field}: {first['msg']}") from error
    needed = {MODEL_FILE, GOLDEN_FILE, *([REFERENCE_FILE] if contract.out_of_distribution else [])}
    missing = needed - contract.files.keys()
    if missing:
        raise BundleInvalid(f"{where}: lists no {sorted(missing)[0]}")
    for precision, variant in contract.variants.items():
        if variant.file not in contract.files:
            raise BundleInvalid(f"{where}: lists no {variant.file}, the file of {precision}")
    if any(name.startswith("/") or ".." in name.split("/") for name in contract.files):
        raise BundleInvalid(f"{where}: lists a file outside the bundle")
    return contract


def seal(folder: Path, contract: BundleContract) -> ModelBundle:
    """Makes a folder of files a bundle: writes bundle.json, atomically, with each file's digest."""
    names = sorted(
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.is_file() and file.name != CONTRACT_FILE
    )
    sealed = contract.model_copy(update={"files": {name: file_digest(folder / name) for name in names}})
    LocalFolder(folder).write(CONTRACT_FILE, contract_json(sealed))
    return ModelBundle(folder, sealed)


def contract_json(contract: BundleContract) -> bytes:
    return (contract.model_dump_json(indent=2) + "\n").encode()


def _verify(file: Path, digest: str) -> None:
    try:
        actual = file_digest(file)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise BundleInvalid(f"{file}: missing, though {CONTRACT_FILE} lists it") from None
    except OSError as error:
        raise BundleInvalid(f"{file}: cannot be read: {error.strerror}") from error
    if actual != digest:
        digests = f"sha256 {actual[:12]}, not {digest[:12]}"
        raise BundleInvalid(f"{file}: changed since it was released ({digests})")


def file_digest(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: object) -> str:
    """JSON that is the same for equal values: keys sorted, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
