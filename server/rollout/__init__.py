"""Other versions beside the current one: which are wanted, and what they are for.

For the rooms above: `wanted` (`Rollout`, `Wanted`); of a canary `split.Split`, `stand_in.why_it_cannot`,
`measured.Measured`, `guard` (`Guard`, `Bounds`, `Removal`); `shadow` (`Shadow`, what it is offered and
answers) of a `shadow_version.ShadowVersion`.
"""
