#!/usr/bin/env bash
# package: cleanlab 2.9.0
# behaviour: find_label_issues(frac_noise=0.99) is to return the top 99 % of the label issues. It multiplies the
#  number of each pair of classes by 0.99 and cuts off the fraction: where each pair has one issue, none is left.
# output:
#   frac_noise 1.0: 40 of 40 issues in 40 pairs of classes, 40 of 40 in one pair
#   frac_noise 0.99: 0 of 40 issues in 40 pairs of classes, 39 of 40 in one pair
# date: 2026-11-30
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > issues.py <<'PYTHON'
import numpy
from cleanlab.filter import find_label_issues

CLASSES, IMAGES = 10, 100
labels = numpy.repeat(numpy.arange(CLASSES), IMAGES)
sure = numpy.full((CLASSES * IMAGES, CLASSES), 0.1 / (CLASSES - 1))
sure[numpy.arange(len(labels)), labels] = 0.9


def listed(wrong: "list[tuple[int, int]]", frac_noise: float) -> int:
    """Of issues that are each an image and the class that it surely is of."""
    said = sure.copy()
    for image, other in wrong:
        said[image] = 0.02 / (CLASSES - 1)
        said[image, other] = 0.98
    return int(find_label_issues(labels, said, frac_noise=frac_noise, n_jobs=1).sum())


spread = [(label * IMAGES + k, (label + k + 1) % CLASSES) for label in range(CLASSES) for k in range(4)]
together = [(image, 1) for image in range(40)]
for frac_noise in (1.0, 0.99):
    print(
        f"frac_noise {frac_noise}: {listed(spread, frac_noise)} of 40 issues in 40 pairs of classes, "
        f"{listed(together, frac_noise)} of 40 in one pair"
    )
PYTHON

python3 -m venv venv
venv/bin/pip install -q cleanlab==2.9.0 numpy==2.4.6 pandas==3.1.1 scikit-learn==1.9.1
venv/bin/python issues.py | tee seen
cat > expected <<'TEXT'
frac_noise 1.0: 40 of 40 issues in 40 pairs of classes, 40 of 40 in one pair
frac_noise 0.99: 0 of 40 issues in 40 pairs of classes, 39 of 40 in one pair
TEXT
diff -q seen expected > /dev/null || { echo "the behaviour changed"; exit 1; }
