"""What makes two labels the same one, and what makes them look it."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable


def normal_label(text: str) -> str:
    """Without blanks around, and in Unicode's composed form (NFC): a Mac's folders come decomposed."""
    return unicodedata.normalize("NFC", text).strip()


def look_alikes(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of labels that differ in nothing but case, blanks, dashes and typographical forms."""
    groups: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        groups[fold_label(label)].add(label)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def fold_label(label: str) -> str:
    """The same for labels that look alike."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    return re.sub(r"[\s_\-]+", " ", folded).strip()
