"""From a trained network to a published version: exported, gated, sealed.

For the commands: `release` (`release`, `Released`, and a run's `read_released`) and `publishing` (the terms).
"""
