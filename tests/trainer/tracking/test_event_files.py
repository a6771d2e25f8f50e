"""TensorBoard's own reader finds in a run's event files what was told, once."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.trainer.tracking.reading import scalars, texts
from tests.trainer.tracking.standings import BEGUN, CHOSEN, PUBLISHED, REFUSED, STEPS, after, record
from trainer.tracking.standing import figures

if TYPE_CHECKING:
    from trainer.tracking.event_files import EventFiles


def event_files(folder: Path) -> "EventFiles":
    from trainer.tracking.event_files import EventFiles

    return EventFiles(folder)


def test_all_that_was_told_is_there(tmp_path: Path) -> None:
    files = event_files(tmp_path / "tensorboard")
    for standing in (BEGUN, after(0), after(2), after(3, outcome=PUBLISHED, status="FINISHED")):
        files.tell(standing)
    found = scalars(tmp_path / "tensorboard")
    for epoch in (1, 2, 3):
        for name, value in figures(record(epoch)).items():
            assert found[f"epoch/{name}"][epoch] == pytest.approx(value), (name, epoch)
        for step in range(STEPS):
            number = (epoch - 1) * STEPS + step + 1
            assert found["step/loss"][number] == pytest.approx(record(epoch).step_losses[step])
            assert found["step/lr"][number] == pytest.approx(record(epoch).step_lrs[step])
    assert [*found["range_test/loss"].values()] == pytest.approx(CHOSEN.curve_losses)
    assert [*found["range_test/lr"].values()] == pytest.approx(CHOSEN.curve_lrs)
    (recipe,), (model,) = texts(tmp_path / "tensorboard", "recipe"), texts(tmp_path / "tensorboard", "model")
    assert "| batch_size | 8 |" in recipe
    assert f"| digest | {PUBLISHED.digest} |" in model
    assert "| version | 3 |" in model


def test_nothing_is_there_twice_of_a_training_in_several_processes(tmp_path: Path) -> None:
    """The second one is killed while it writes: what was half written is told again by the third."""
    for epochs in (2, 4, 6):
        event_files(tmp_path).tell(after(epochs))
        if epochs == 4:
            newest = max(tmp_path.iterdir(), key=lambda file: (file.stat().st_mtime_ns, file.name))
            newest.write_bytes(newest.read_bytes()[:-10])
            assert max(scalars(tmp_path)["epoch/seconds"]) == 3
    found = scalars(tmp_path)
    assert {len(found[tag]) for tag in found if tag.startswith("epoch/")} == {6}
    assert len(found["step/loss"]) == len(found["step/lr"]) == 6 * STEPS
    assert len(found["range_test/lr"]) == len(CHOSEN.curve_lrs)
    assert len(texts(tmp_path, "recipe")) == 1


def test_model_that_is_published_after_all_is_told_beside_the_refusal(tmp_path: Path) -> None:
    for outcome in (REFUSED, REFUSED, PUBLISHED):
        event_files(tmp_path).tell(after(1, outcome=outcome))
    refused, published = texts(tmp_path, "model")
    assert "| not published | it is bad |" in refused
    assert "not published" not in published


def test_what_failed_to_be_written_is_told_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = event_files(tmp_path)
    files.tell(after(1))
    with monkeypatch.context() as patch:
        patch.setattr(files._writer, "add_text", None)
        with pytest.raises(TypeError):
            files.tell(after(2, outcome=PUBLISHED))
    files.tell(after(3, outcome=PUBLISHED))
    assert {*scalars(tmp_path)["epoch/seconds"]} == {1, 2, 3}
    assert len(texts(tmp_path, "model")) == 1
