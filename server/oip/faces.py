"""The model has two names in the protocol: one takes encoded images, the other crops that are ready."""

from dataclasses import dataclass
from typing import Final

from fovea.model.bundle import BundleContract
from server.errors import InvalidField, ModelUnknown

ONNX_SUFFIX: Final = "_onnx"
OUTPUTS: Final = ("probabilities", "logits", "label")
SHOWN: Final = 64
"""Characters of a caller's own text that an error repeats: gRPC sends no long ones."""


@dataclass(frozen=True)
class Face:
    """One name of the model, and the input that it takes."""

    name: str
    input: str
    datatype: str
    dims: tuple[int, ...]
    """Of one image; the number of images comes before them."""

    @property
    def takes_crops(self) -> bool:
        return self.datatype == "UINT8"

    def __str__(self) -> str:
        """`'pixels' (UINT8 [n,224,224,3], crops that are ready)`"""
        shape = ",".join(map(str, ("n", *self.dims)))
        what = "crops that are ready" if self.takes_crops else "encoded images"
        return f"'{self.input}' ({self.datatype} [{shape}], {what})"


def faces_of(contract: BundleContract) -> tuple[Face, Face]:
    side = contract.preprocess.size
    of_crops = Face(f"{contract.name}{ONNX_SUFFIX}", "pixels", "UINT8", (side, side, 3))
    return Face(contract.name, "image", "BYTES", (1,)), of_crops


def face_of(contract: BundleContract, name: str) -> Face:
    """Raises ModelUnknown."""
    faces = faces_of(contract)
    for face in faces:
        if face.name == name:
            return face
    known = " and ".join(f"'{face.name}', which takes {face}" for face in faces)
    raise ModelUnknown(f"there is no model {shown(name)}; there are {known}")


def version_of(field: str, text: str) -> int:
    """The version's number, 0 for the current one. Raises InvalidField."""
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and text[0] != "0"):
        what = "the number of a version, as 3, or empty for the current one"
        raise InvalidField(field, f"{field} must be {what}, not {shown(text)}")
    return int(text)


def shown(text: str) -> str:
    """A caller's text as an error repeats it."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
