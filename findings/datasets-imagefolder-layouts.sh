#!/usr/bin/env bash
# package: datasets 5.2.0 (imagefolder) with Pillow 13.0.0
# behaviour: Parts are known in lower case alone. Train/ and Test/ become one split, train, so that the test images are
#   trained on; of Train/ and test/ only test is left. One image beside the classes' folders takes the labels
#   from all images. None of it is said.
# output:
#   train/cat train/dog test/cat test/dog: train 4 ['cat', 'dog'], test 4 ['cat', 'dog']
#   Train/cat Train/dog Test/cat Test/dog: train 8 ['cat', 'dog']
#   Train/cat Train/dog test/cat test/dog: test 4 ['cat', 'dog']
#   cat dog: train 4 ['cat', 'dog']
#   cat dog .: train 6 without labels
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1 HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export HF_HOME="$folder/home"

cat > load.py <<'PYTHON'
import sys
from pathlib import Path

from datasets import load_dataset
from PIL import Image

root = Path("layouts") / str(len(list(Path().glob("layouts/*"))))
for number, name in enumerate(sys.argv[1:]):
    (root / name).mkdir(parents=True, exist_ok=True)
    for width in (8, 9):
        Image.new("RGB", (width, 8 + number)).save(root / name / f"{width}.png")
splits = load_dataset("imagefolder", data_dir=str(root), cache_dir="cache")


def told(images):
    label = images.features.get("label")
    return f"{len(images)} {label.names if label else 'without labels'}"


print(" ".join(sys.argv[1:]) + ": " + ", ".join(f"{name} {told(images)}" for name, images in splits.items()))
PYTHON

python3 -m venv venv
venv/bin/pip install -q datasets==5.2.0 pillow==13.0.0 2>/dev/null
for layout in "train/cat train/dog test/cat test/dog" "Train/cat Train/dog Test/cat Test/dog" \
    "Train/cat Train/dog test/cat test/dog" "cat dog" "cat dog ."; do
    # shellcheck disable=SC2086
    venv/bin/python load.py $layout 2>/dev/null
done | tee seen
cat > expected <<'TEXT'
train/cat train/dog test/cat test/dog: train 4 ['cat', 'dog'], test 4 ['cat', 'dog']
Train/cat Train/dog Test/cat Test/dog: train 8 ['cat', 'dog']
Train/cat Train/dog test/cat test/dog: test 4 ['cat', 'dog']
cat dog: train 4 ['cat', 'dog']
cat dog .: train 6 without labels
TEXT
diff expected seen || { echo "the behaviour changed"; exit 1; }
