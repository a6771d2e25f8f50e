"""Text of others' making, such as labels and file names, as it may be shown."""


def printable(text: str) -> str:
    r"""One line that no terminal or browser obeys: `\n`, `\x1b` and what turns the direction are spelled out.

    Bytes of a file name that are no UTF-8 become `\xff`.
    """
    utf8 = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in utf8)
