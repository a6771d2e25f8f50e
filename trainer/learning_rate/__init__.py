"""The learning-rate range test, what it suggests, what is taken, and the schedule that follows.

For the rooms above: `range_test.range_test` gives a `Curve`, `decision.decide` a `Decision` on it;
`suggestions` and `schedule` are pure functions.
"""
