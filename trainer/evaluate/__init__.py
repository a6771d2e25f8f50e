"""What answers are worth: measured, calibrated, timed.

For the rooms above: `metrics` (of probabilities where the truth is known), `calibration.calibrate`,
`baseline` (is it better than the majority?), `by_group` (of patients, cameras), `latency.measure_latency`,
`task` (what differs where an image may have several labels), `label_metrics`, `label_chance` and
`label_calibration` of these, `label_errors` (whose label is doubted), `prediction` (a network
on held-out images; loads torch). For the program: `command` (`evaluate`, `inspect`) and `descriptions`
(for people). For `compare`: `evaluation.EvaluatedModel`.
"""
