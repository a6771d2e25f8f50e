"""Mixed images and their targets have the same shares."""

import pytest
import torch
from torch import Tensor

from trainer.images.mixing import Mixing, mix

COUNT, SIZE = 6, 20


def _images() -> Tensor:
    """Of one value each, its own number, so that a pixel tells which images it is of."""
    return torch.arange(COUNT).float()[:, None, None, None].expand(COUNT, SIZE, SIZE, 3).clone()


def _mixed(mixing: Mixing, seed: int) -> tuple[Tensor, Tensor, Tensor, float]:
    """The images, the targets of as many classes, each one's partner, and the share."""
    torch.manual_seed(seed)
    images, targets = mix(_images(), torch.arange(COUNT), mixing)
    assert targets.sum(1).tolist() == pytest.approx([1] * COUNT)
    partners = [row.nonzero().flatten().tolist() for row in targets]
    others = torch.tensor([next((c for c in row if c != own), own) for own, row in enumerate(partners)])
    shares = {round(float(targets[own, own]), 6) for own in range(COUNT) if others[own] != own}
    assert len(shares) <= 1  # one for the batch, unless each is its own partner
    assert sorted(others.tolist()) == list(range(COUNT))
    return images, targets, others, shares.pop() if shares else 1.0


def test_mixup_lays_an_image_over_its_partner_in_the_share_of_their_targets() -> None:
    for seed in range(20):
        images, _, others, share = _mixed(Mixing(COUNT, mixup=1.0), seed)
        expected = share * _images() + (1 - share) * _images()[others]
        torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)


def test_cutmix_puts_one_rectangle_of_the_partner_into_each_image_and_its_area_is_its_share() -> None:
    areas, covered = [], torch.zeros(SIZE, SIZE, dtype=torch.bool)
    for seed in range(40):
        images, _, others, share = _mixed(Mixing(COUNT, cutmix=1.0), seed)
        foreign = images != _images()
        assert torch.equal(images, torch.where(foreign, _images()[others], _images()))
        moved = [place for place in range(COUNT) if others[place] != place]
        if not moved or not foreign.any():
            continue
        inside = foreign[moved[0], :, :, 0]
        assert all(torch.equal(foreign[place], inside[..., None].expand(-1, -1, 3)) for place in moved)
        rows, columns = inside.any(1), inside.any(0)
        assert torch.equal(inside, rows[:, None] & columns[None, :])
        assert all((line.diff().sum() <= 2) for line in (rows, columns))  # no gaps
        assert inside.float().mean() == pytest.approx(1 - share, abs=1e-5)
        areas.append(1 - share)
        covered |= inside
    assert len(areas) > 20
    assert max(areas) > 0.4
    assert covered.all()  # up to every edge


def test_shares_are_of_the_beta_distribution() -> None:
    torch.manual_seed(0)
    image, target = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), torch.tensor([0, 1])
    for alpha in (0.3, 2.0):
        mixing = Mixing(2, mixup=alpha)
        values = torch.stack([mix(image, target, mixing)[0].flatten() for _ in range(1500)])
        # Half of the time each is its own partner; of the others the second image has the first one's rest.
        shares = values[(values - torch.tensor([0.0, 1.0])).abs().sum(1) > 0][:, 1]
        assert float(shares.mean()) == pytest.approx(0.5, abs=0.05)
        assert float(shares.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.015)


def test_with_both_a_coin_decides_for_each_batch() -> None:
    torch.manual_seed(0)
    mixing, whole = Mixing(COUNT, mixup=1.0, cutmix=1.0), 0
    for _ in range(200):
        images, _ = mix(_images(), torch.arange(COUNT), mixing)
        whole += bool((images == images.round()).all())
    assert 70 < whole < 130


def test_without_mixing_images_and_targets_are_as_they_were_and_nothing_is_drawn() -> None:
    torch.manual_seed(0)
    before, given, targets = torch.get_rng_state(), _images(), torch.arange(COUNT)
    images, same = mix(given, targets, None)
    assert images is given
    assert same is targets
    assert torch.equal(torch.get_rng_state(), before)


def test_shares_far_from_even_are_numbers() -> None:
    torch.manual_seed(0)
    for alpha in (1e-3, 1e-2, 1e4):
        for _ in range(100):
            images, targets = mix(_images(), torch.arange(COUNT), Mixing(COUNT, mixup=alpha))
            assert images.isfinite().all()
            assert targets.isfinite().all()
