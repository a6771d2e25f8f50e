"""Whether a version can answer the calls of another."""

from fovea.model.bundle import BundleContract, Precision


def why_it_cannot(new: BundleContract, old: BundleContract, precision: Precision) -> str:
    """Why calls that are answered by `old` would be refused by `new`; empty where none would."""
    if len(new.labels) < len(old.labels):
        return f"it has {len(new.labels)} labels and the current version {len(old.labels)}, for a top_k"
    if new.labels[: len(old.labels)] != old.labels:  # ModelInfer's probabilities are by place alone
        place, (its, mine) = _first_other(new.labels, old.labels)
        return f"its label {place} is {its!r} and the current version's {mine!r}; new ones go to the end"
    lacks = [what for what in _gives(old, precision) if what not in _gives(new, precision)]
    return f"it was released without {' and '.join(lacks)}, which the current version has" if lacks else ""


def _gives(contract: BundleContract, precision: Precision) -> list[str]:
    """What callers may want beside predictions."""
    given = {
        "distances": contract.out_of_distribution is not None,
        "label sets": contract.sets_of(precision) is not None,
        "embeddings": contract.gives_embeddings,
    }
    return [what for what, is_given in given.items() if is_given]


def _first_other(new: tuple[str, ...], old: tuple[str, ...]) -> tuple[int, tuple[str, str]]:
    """The first place, from 0, where two lists of labels differ, and what stands there."""
    pairs = enumerate(zip(new, old, strict=False))
    return next((place, pair) for place, pair in pairs if pair[0] != pair[1])
