"""What the server tells of itself: metrics, log, drift.

For the rooms above: `metrics.Metrics` with the `call_metrics`, `model_metrics`, `shadow_metrics` and
`exemplars`, its page's `exposition`, `drift` (`drift_gauges`, `AccuracyGauge`), and for the start
`log_queue.set_up_log` and its `QueuedLog`.
"""
