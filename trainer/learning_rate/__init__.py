"""The learning-rate range test, what it suggests, what is taken, and the schedule that follows."""
