"""`make demo`: the whole way once, with the real programs, on real data."""
