"""Images that decode to what nobody may have meant: named, for somebody to look at them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from trainer.images.traits import DOUBTFUL, TRAITS

MOST_NAMED: Final = 100
"""Of each kind, in audit.json."""


def name_doubtful(files: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, list[str]]:
    """Trait -> the files that have it, the first 100; `files` are names and traits."""
    named: dict[str, list[str]] = {trait: [] for trait in DOUBTFUL}
    for name, traits in files:
        for trait in named.keys() & set(traits):
            if len(named[trait]) < MOST_NAMED:
                named[trait].append(name)
    return {trait: names for trait, names in named.items() if names}


def describe_doubtful(named: Mapping[str, list[str]], counts: Mapping[str, int]) -> Iterator[str]:
    """A line for each trait, with its first example."""
    for trait, names in named.items():
        yield f"images {TRAITS[trait]}: {counts[trait]}; the first is {names[0]}"
