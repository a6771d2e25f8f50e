"""A second version beside the current one: which one is wanted, and what it is for.

For the rooms above: `wanted` (`Rollout`, `rollout_of`), `shadow` (`Shadow`, what it is offered and answers)
of a `shadow_version.ShadowVersion`.
"""
