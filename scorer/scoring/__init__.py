"""A shard: its images fetched, decoded, classified, and its rows put where they belong, once.

Other rooms use `work.work`, `work.score_shards`, `work.resources_of`, `work.existing_plan`;
`shard.score_shard` of a `shard.ShardSpec` with `pipeline.Resources`, `shard.load_classifier`;
`bottleneck.advise`, which gives a `bottleneck.Advice`, and `bottleneck.utilisation`.
"""
