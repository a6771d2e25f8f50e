from fovea.printable import terminal_width


def test_width_is_what_a_terminal_gives_the_text() -> None:
    widths = {"cat": 3, "写真": 4, "e\u0301": 1, "한": 2, "ｈ": 2, "🦊": 2, "a\u200db": 2, "": 0}
    assert {text: terminal_width(text) for text in widths} == widths
