"""What a run is to score: listed, told apart, carried over, cut into shards."""
