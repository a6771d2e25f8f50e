from fovea.errors import InvalidImage
from server.compute import Picture


def test_a_bad_image_is_not_held_by_its_own_failure() -> None:
    def decode() -> None:
        try:
            raise OSError("broken data stream")
        except OSError as error:
            raise InvalidImage("undecodable", "the image is damaged") from error

    outcome = Picture(decode).decode()  # type: ignore[arg-type]
    assert isinstance(outcome, InvalidImage)
    assert (outcome.reason, str(outcome)) == ("undecodable", "the image is damaged")
    assert outcome.__traceback__ is outcome.__cause__ is outcome.__context__ is None
