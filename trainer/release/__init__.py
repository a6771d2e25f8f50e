"""From a trained network to a published version: exported, gated, sealed.

For the commands: `release` (`release`, `Released`, and a run's `read_released`), `publishing` (the terms) and
`model_lineage` (which settings tell of the model).
"""
