"""The end of a run: its summary, its comparison with others, its page."""
