from dataclasses import dataclass

from torch.distributed.launcher.api import LaunchConfig

from trainer.ranks.launching import SAVED_WITHIN_S, _time_to_save


@dataclass
class OfTorch211:
    min_nodes: int


def test_a_launcher_that_takes_no_time_to_save_is_given_none() -> None:
    """torch 2.11's raises at an option that it does not know."""
    assert _time_to_save(OfTorch211) == {}
    assert _time_to_save(LaunchConfig) == {"shutdown_timeout": SAVED_WITHIN_S}
