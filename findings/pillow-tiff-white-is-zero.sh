#!/usr/bin/env bash
# package: pillow 11.3.0 and 13.0.0
# behaviour: of a grey TIFF whose PhotometricInterpretation says that white is zero, 8 bits come out inverted, as they
#   should, and 16 bits or floats as they are stored, so that the picture is a negative. 12 bits come out as mode I;16
#   from 0 to 4095, where 16 bits in the same mode go to 65535: what scales by the mode makes them nearly black.
# output:
#   11.3.0: white is zero, the first sample 0 is white: 8 bits L 255, 16 bits I;16 0, floats F 0.0; white of 12 bits I;16 4095
#   13.0.0: white is zero, the first sample 0 is white: 8 bits L 255, 16 bits I;16 0, floats F 0.0; white of 12 bits I;16 4095
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > look.py <<'PYTHON'
import io
import struct

from PIL import Image


def tiff(bits, kind, photometric, pixels):
    """TIFF 6.0, little-endian, 2 x 1 samples in one strip."""
    entries = [(256, 4, 2), (257, 4, 1), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 0), (277, 3, 1)]
    entries += [(278, 4, 1), (279, 4, len(pixels)), (339, 3, kind)]
    start = 14 + 12 * len(entries)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    body = b"".join(struct.pack("<HHII", tag, form, 1, start if tag == 273 else value) for tag, form, value in entries)
    return head + body + bytes(4) + pixels


def first(data):
    with Image.open(io.BytesIO(data)) as image:
        return f"{image.mode} {image.getpixel((0, 0))}"


eight = first(tiff(8, 1, 0, bytes([0, 255])))
sixteen = first(tiff(16, 1, 0, struct.pack("<HH", 0, 65535)))
floats = first(tiff(32, 3, 0, struct.pack("<ff", 0, 1)))
twelve = first(tiff(12, 1, 1, bytes([0xFF, 0xF0, 0x00])))
print(f"white is zero, the first sample 0 is white: 8 bits {eight}, 16 bits {sixteen}, floats {floats}; ", end="")
print(f"white of 12 bits {twelve}")
PYTHON

python3 -m venv venv
expected="white is zero, the first sample 0 is white: 8 bits L 255, 16 bits I;16 0, floats F 0.0; white of 12 bits I;16 4095"
for version in 11.3.0 13.0.0; do
    venv/bin/pip install -q "pillow==$version" 2>/dev/null
    seen=$(venv/bin/python look.py)
    echo "$version: $seen"
    [ "$seen" = "$expected" ] || { echo "the behaviour changed"; exit 1; }
done
