"""Where images lie: whole and apart from each other, and no memory for what has gone."""

import os
import random
from collections.abc import Iterator

import pytest

from server.compute.arenas import Arenas, Place, own_descriptors
from server.fronts.arena import KEPT_BYTES, Arena, size_of_arena, whole_pages

PAGE = 4096


@pytest.fixture(name="descriptor")
def memory_file() -> Iterator[int]:
    descriptor = os.memfd_create("test")
    yield descriptor
    os.close(descriptor)


def arena_of(descriptor: int, size_bytes: int) -> Arena:
    os.ftruncate(descriptor, size_bytes)
    return Arena(descriptor, size_bytes)


def taken_bytes(descriptor: int) -> int:
    return os.fstat(descriptor).st_blocks * 512


def test_what_was_put_is_read_as_it_was_by_whoever_maps_it_until_it_is_freed(descriptor: int) -> None:
    draw = random.Random(7)
    arena, arenas = arena_of(descriptor, 64 * PAGE), Arenas(own_descriptors())
    there: dict[int, bytes] = {}
    refused = 0
    for _ in range(2000):
        if there and draw.random() < 0.5:
            start = draw.choice(list(there))
            content = there.pop(start)
            packed = Place(1, descriptor, start).packed(len(content))
            assert arenas.image_at(packed) == content
            arena.free(start, len(content))
        else:
            content = draw.randbytes(draw.randrange(1, 9 * PAGE))
            where = arena.put(content)
            if where is None:
                refused += 1
            else:
                there[where] = content
    assert refused
    for start, content in there.items():
        arena.free(start, len(content))
    assert arena.put(bytes(64 * PAGE)) == 0, "what is free is one piece again"


def test_an_arena_takes_all_that_may_be_in_flight(descriptor: int) -> None:
    images, size_bytes = 7, 100_001
    arena = arena_of(descriptor, size_of_arena(images, size_bytes))
    assert all(arena.put(bytes(size_bytes // images)) is not None for _ in range(images))
    assert taken_bytes(descriptor) >= size_bytes - size_bytes % images


def test_an_empty_image_takes_no_room(descriptor: int) -> None:
    arena = arena_of(descriptor, PAGE)
    assert arena.put(b"") == 0
    arena.free(0, 0)
    assert arena.put(b"x") == 0
    assert arena.put(b"x") is None


def test_memory_that_was_freed_goes_back_but_for_what_is_kept(descriptor: int) -> None:
    size = KEPT_BYTES // 2
    arena = arena_of(descriptor, 4 * KEPT_BYTES)
    starts = [arena.put(b"x" * size) for _ in range(8)]
    assert taken_bytes(descriptor) >= 8 * size
    for start in starts:
        assert start is not None
        arena.free(start, size)
    assert taken_bytes(descriptor) <= KEPT_BYTES


def test_pages_are_whole() -> None:
    assert [whole_pages(length) for length in (0, 1, PAGE, PAGE + 1)] == [0, PAGE, PAGE, 2 * PAGE]


def test_who_may_not_see_what_a_process_has_open_says_so() -> None:
    assert Arenas(own_descriptors()).can_be_read
    assert not Arenas("/proc/0/fd").can_be_read
