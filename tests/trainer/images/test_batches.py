import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from trainer.images.batches import Sampler, epoch_order, read_ahead

UNEVEN = np.repeat([0, 1, 2], [80, 15, 5])


def test_each_image_comes_once_an_epoch() -> None:
    order = epoch_order(UNEVEN, seed=0, epoch=1, sampler="shuffle")
    assert sorted(order) == list(range(100))


@pytest.mark.parametrize("sampler", ["shuffle", "balanced"])
def test_order_depends_on_seed_and_epoch_alone(sampler: Sampler) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [*map(int, epoch_order(UNEVEN, seed, epoch, sampler))]

    np.random.seed(1)
    first = order(0, 1)
    np.random.seed(2)
    assert order(0, 1) == first
    assert order(0, 2) != first
    assert order(1, 1) != first


def test_balanced_epoch_has_each_class_as_often_and_uses_its_images_evenly() -> None:
    order = epoch_order(UNEVEN, seed=0, epoch=1, sampler="balanced")
    drawn = UNEVEN[order]
    assert len(order) == 100
    assert sorted(np.bincount(drawn)) == [33, 33, 34]
    rare = np.bincount(order[drawn == 2])[95:]
    assert rare.max() - rare.min() <= 1
    common = order[drawn == 0]
    assert len(set(common)) == len(common)


def test_balanced_classes_are_mixed_within_the_epoch() -> None:
    drawn = UNEVEN[epoch_order(UNEVEN, seed=0, epoch=1, sampler="balanced")]
    assert min(np.bincount(drawn[:50], minlength=3)) >= 8


def test_reading_ahead_keeps_items_and_order() -> None:
    assert list(read_ahead(iter(range(20)), 3)) == list(range(20))
    assert list(read_ahead(iter([]), 3)) == []


def test_reading_ahead_has_the_next_item_ready_before_it_is_asked_for() -> None:
    events = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number, event in enumerate(events):
            event.set()
            yield number

    ahead = read_ahead(items(), 2)
    assert next(ahead) == 0
    assert events[2].wait(5)
    ahead.close()  # type: ignore[attr-defined]


def test_error_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    ahead = read_ahead(items(), 2)
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


def test_thread_ends_with_an_iteration_that_is_given_up() -> None:
    before = threading.active_count()
    ahead = read_ahead(iter(range(1000)), 2)
    next(ahead)
    ahead.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_torch_random_numbers_are_not_drawn_for_an_order() -> None:
    before = torch.get_rng_state()
    epoch_order(UNEVEN, seed=0, epoch=1, sampler="balanced")
    assert torch.equal(torch.get_rng_state(), before)
