"""The model bundle: one folder that holds a released model and everything needed to use it rightly.

model.onnx     pixels uint8 [batch, S, S, 3] -> logits, probabilities float32 [batch, classes], and, not in
               older bundles, embedding float32 [batch, D]; where the task is multi, probabilities are each
               label's own
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
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from fovea.errors import BundleInvalid, ObjectMissing
from fovea.model.contract import (
    EMBEDDING,
    METADATA_KEY,
    BundleContract,
    OtherPrecision,
    Precision,
    TensorSpec,
    Variant,
    canonical_json,
)
from fovea.model.golden import GOLDEN_FILE, GOLDEN_FOLDER, Golden, read_golden_arrays
from fovea.stores.storage import LocalFolder
from fovea.truth.known_classes import REFERENCE_FILE, Distances, KnownClasses, read_known_classes

__all__ = [
    "CONTRACT_FILE",
    "EMBEDDING",
    "METADATA_KEY",
    "MODEL_FILE",
    "REPORT_FILE",
    "BundleContract",
    "ModelBundle",
    "OtherPrecision",
    "Precision",
    "TensorSpec",
    "Variant",
    "canonical_json",
    "contract_json",
    "file_digest",
    "parse_contract",
    "read_contract",
    "seal",
]

CONTRACT_FILE: Final = "bundle.json"
MODEL_FILE: Final = "model.onnx"
REPORT_FILE: Final = "report.html"


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
