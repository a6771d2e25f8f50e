"""What is known of the classes, from embeddings of some of their training images."""

from typing import Final

import numpy as np
import numpy.typing as npt

from fovea.truth.known_classes import Embeddings, KnownClasses

LEAST_DIRECTIONS: Final = 128
"""Along which the covariance is told apart, as far as there are so many."""
MOST_DIRECTIONS: Final = 384
"""Where there are as many classes: 8 MiB of a bundle where an embedding has 4,096 values."""
LEAST_DEVIATION: Final = 1e-3
"""Of an embedding in all directions together: what rounding gives where a network sees no difference."""
Matrix = npt.NDArray[np.float64]


def know_classes(embeddings: Embeddings, targets: npt.NDArray[np.int64]) -> KnownClasses:
    """Of float32 [m, D] and their classes int64 [m]; classes without an image are not known.

    The covariance about the classes' means is shrunk towards a sphere, as far as so few images need it, and
    is kept along the training's principal directions; along all others it is the mean of what is left. An
    only image of its class is its mean, and says nothing of the covariance.
    """
    embedded, values = embeddings.astype(np.float64), embeddings.shape[1]
    present, places = np.unique(targets, return_inverse=True)
    centre = embedded.mean(axis=0)
    means = np.stack([embedded[places == place].mean(axis=0) for place in range(len(present))])
    off = embedded - means[places]
    total = float((off**2).sum()) / max(1, len(off) - len(present))
    share = shrinkage(off)
    count = min(max(LEAST_DIRECTIONS, len(present)), MOST_DIRECTIONS)
    principal = np.linalg.svd(embedded - centre, full_matrices=False)[2][:count]
    along = off @ principal.T
    kept, turn = np.linalg.eigh(along.T @ along / max(1, len(off) - len(present)))
    directions = turn.T @ principal
    others = max(0.0, total - kept.sum()) / max(1, values - len(kept))
    shrunk = (1 - share) * np.append(kept, others).clip(0) + share * total / values
    inverse = 1 / np.sqrt(np.maximum(shrunk, LEAST_DEVIATION**2 / values))
    seen = (means - centre) @ directions.T * inverse[:-1]
    return KnownClasses(*(np.asarray(each, np.float32) for each in (centre, directions, inverse, seen)))


def shrinkage(off: Matrix) -> float:
    """How far the covariance of m vectors, float64 [m, D] about 0, is best drawn towards its mean variance.

    (O. Ledoit and M. Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004.)
    """
    count, values = off.shape
    products = off.T @ off if values < count else off @ off.T
    squares = float((products**2).sum()) / count**2
    lengths = (off**2).sum(axis=1)
    spread = squares - float(lengths.mean()) ** 2 / values
    noise = (float((lengths**2).mean()) - squares) / count
    return 1.0 if spread <= noise else noise / spread
