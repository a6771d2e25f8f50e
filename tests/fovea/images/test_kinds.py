"""What is said of bytes that are no image that is read."""

from fovea.images.kinds import damaged


def test_damage_is_told_in_one_line_with_the_format_where_it_is_known() -> None:
    error = OSError("broken data\n  stream")
    assert str(damaged(b"", error, "PNG")) == "the PNG image is damaged: broken data stream"
    assert str(damaged(b"", error)) == "the image's header is damaged: broken data stream"
    assert str(damaged(b"\xff\x0a", error)) == "the JPEG XL image is damaged"
    assert damaged(b"", error).reason == "undecodable"
