"""Images that come one by one are computed together: who is admitted, waits, how long, with whom.

For the rooms above: `batcher.Batcher`, of `priorities` Priority and Admission, of `batch_policy` BatchLimits
and CostModel, of `worker` what a worker is and is given, and `turns.Turns` of models that share workers.
"""
