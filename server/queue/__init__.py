"""Images that come one by one are computed together: who waits, how long, with whom.

For the rooms above: `batcher.Batcher`, `priorities.Priority`, of `batch_policy` its limits and `CostModel`,
and of `worker` what a worker is and is given.
"""
