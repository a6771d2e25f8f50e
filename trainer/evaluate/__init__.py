"""What answers are worth: measured, calibrated, timed.

For the rooms above: `metrics` (of probabilities where the truth is known), `calibration.calibrate`,
`baseline` (is it better than the majority?), `by_group` (of patients, cameras), `latency.measure_latency`,
`label_errors` (whose label is doubted), `prediction` (a network on held-out images; loads torch). For the
program: `command` (`evaluate`, `inspect`) and `descriptions` (for people). For `compare`:
`evaluation.EvaluatedModel`.
"""
