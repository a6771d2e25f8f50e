"""Text from outside, such as names, labels and what others say of an error, made safe for a terminal."""

import unicodedata


def printable(text: str) -> str:
    r"""`text` on one line that no terminal obeys: a control character shows as `\x1b` or `\n`.

    Bytes of a file name that are not UTF-8 show as `\xff`.
    """
    return "".join(char if char.isprintable() else _shown(char) for char in text)


def _shown(char: str) -> str:
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
