"""Text from outside, such as names, labels and what others say of an error, made safe for a terminal."""

import unicodedata
from typing import Final

LONGEST: Final = 60
"""Of a label or file name where many stand; a name may be thousands of characters long."""


def printable(text: str) -> str:
    r"""`text` on one line that no terminal obeys: a control character shows as `\x1b` or `\n`.

    Bytes of a file name that are not UTF-8 show as `\xff`.
    """
    if text.isprintable():  # nearly always, and a page asks a thousand times
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def shortened(text: str, longest: int = LONGEST) -> str:
    """`text` made printable; of a long one the two ends."""
    if len(text) > longest:  # so is the line: the middle of it is never seen
        text = text[:longest] + text[-longest:]
    line, end = printable(text), longest // 3
    return line if len(line) <= longest else f"{line[: longest - end - 1]}…{line[-end:]}"


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # what Python makes of such a byte
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def terminal_width(text: str) -> int:
    """How wide `text` is on a terminal (Unicode's annex 11): two for what is wide, none for what joins on."""
    return sum(_width(char) for char in text)


def _width(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1
