from pathlib import Path

from benchmarks.startup import parts


def test_it_is_shown_what_a_start_has_come_to_and_when(tiny_models: Path) -> None:
    """The first process writes the model that all map and measures; another one only opens it."""
    said, seconds = zip(*parts(tiny_models, 2), strict=True)
    assert said == (
        "the ports are open",
        "a version is fetched and verified",
        "the bundle is open",
        "the optimised model is written",
        "the model is loaded, and its golden answers are right",
        "the model is warm",
        "the first compute process is ready",
        "the bundle is open",
        "the model is loaded, and its golden answers are right",
        "the model is warm",
        "ready",
    )
    assert 0 < sum(seconds) < 60
