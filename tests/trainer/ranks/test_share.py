from itertools import pairwise

import torch

from trainer.ranks.group import FEWEST, Share


def test_each_row_is_in_one_share_and_the_shares_are_almost_equal() -> None:
    for world in range(1, 6):
        for count in range(20):
            parts = [Share(rank, world).rows(count) for rank in range(world)]
            assert (parts[0].start, parts[-1].stop) == (0, count)
            assert all(before.stop == after.start for before, after in pairwise(parts))
            sizes = {part.stop - part.start for part in parts}
            assert max(sizes) - min(sizes) <= 1


def test_whole_batches_go_round_and_no_rank_has_more_turns_than_it_is_told() -> None:
    for world in range(1, 6):
        for count in range(20):
            starts = range(0, count, 3)
            shares = [Share(rank, world) for rank in range(world)]
            assert sorted(start for share in shares for start in share.every(starts)) == list(starts)
            assert max(len(share.every(starts)) for share in shares) == shares[0].turns(starts)


def test_of_each_part_of_a_batch_each_rank_has_a_share_that_batch_norm_can_take() -> None:
    for world in range(1, 5):
        for count in range(FEWEST * world, 25):
            for parts in range(1, 5):
                divided = [Share(rank, world).parts(count, parts) for rank in range(world)]
                owned = [row for own in divided for part in own for row in range(count)[part.own]]
                assert sorted(owned) == list(range(count))
                assert all(part.own.stop - part.own.start >= FEWEST for own in divided for part in own)
                assert all(sum(part.count for part in own) == count for own in divided)


def test_one_rank_has_the_parts_that_torch_makes() -> None:
    for count in range(1, 20):
        for parts in range(1, 5):
            divided = Share().parts(count, parts)
            sizes = [len(part) for part in torch.arange(count).tensor_split(len(divided))]
            assert [part.own.stop - part.own.start for part in divided] == sizes
            assert [(part.rows.start, part.rows.stop) for part in divided] == [(0, size) for size in sizes]
