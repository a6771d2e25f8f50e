"""What a run would take: timed on a sample, written nowhere."""
