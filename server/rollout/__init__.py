"""A second version beside the current one: which one is wanted, and what it is for.

For the rooms above: `wanted` (`Rollout`, `rollout_of`).
"""
