"""Where else a training tells how it goes: TensorBoard's event files, a run of MLflow.

For all above: `tracking.Tracking` tells it, `standing` is what is told, `trackers` are those who are told:
each in a thread of its own, that may fail or hang and costs the training nothing but a line in the log.
"""
