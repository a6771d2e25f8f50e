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


def test_level_is_ours_and_others_are_heard_from_warnings_on() -> None:
    stream = io.StringIO()
    before, root_level = logging.root.handlers[:], logging.root.level
    levels = {name: logging.getLogger(name).level for name in logs.OURS}
    try:
        for level, ours in (("debug", True), ("info", False), ("error", False)):
            logs.set_up(level, "text", logging.StreamHandler(stream))  # type: ignore[arg-type]
            for name in (
                "matplotlib.font_manager",
                "PIL.Image",
                "botocore",
                "trainer.job",
                "scorer",
                "server.x",
            ):
                logging.getLogger(name).debug("told %s at %s", name, level)
            lines = [line.split()[-3:] for line in stream.getvalue().splitlines() if line.endswith(level)]
            assert [name for name, *_ in lines] == (["trainer.job", "scorer", "server.x"] if ours else [])
        logging.getLogger("botocore").warning("not at error")
        assert "not at error" not in stream.getvalue()
        logs.set_up("debug", "text", logging.StreamHandler(stream))
        logging.getLogger("botocore").warning("at debug")
        assert "at debug" in stream.getvalue()
    finally:
        for name, number in levels.items():
            logging.getLogger(name).setLevel(number)
        logging.basicConfig(level=root_level, handlers=before, force=True)
