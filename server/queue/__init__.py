"""Images that come one by one are computed together: who waits, how long, with whom.

For the rooms above: `batcher.Batcher`, `priority_queue.Priority`, `batch_policy.BatchLimits`,
`cost_model.CostModel`, and of `worker` what a worker is and is given.
"""
