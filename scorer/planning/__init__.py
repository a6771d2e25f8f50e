"""What a run is to score: listed, told apart, carried over, cut into shards.

Other rooms use `planner.plan_run`, `planner.absolute`, `naming.claim_run` and, for a plan that is not kept,
`sharding.write_shards` with `sharding.ShardLimits`.
"""
