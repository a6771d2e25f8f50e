"""What answers are worth: measured, calibrated, timed."""
