"""What a terminal gets of the log."""

import io
import logging

from fovea import logs


def test_a_message_controls_no_terminal() -> None:
    stream = io.StringIO()
    before = logging.root.handlers[:]
    logs.set_up(log_format="text", handler=logging.StreamHandler(stream))
    try:
        logging.getLogger(__name__).warning("lost: %s", "a\x1b[2J\nb", extra={"last": "c\x07"})
    finally:
        logging.basicConfig(handlers=before, force=True)
    assert stream.getvalue().endswith("lost: a\\x1b[2J\\nb  last=c\\x07\n")
