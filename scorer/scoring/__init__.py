"""A shard: its images fetched, decoded, classified, and its rows put where they belong, once."""
