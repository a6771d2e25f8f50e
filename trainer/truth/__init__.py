"""The honest unknown, as a release computes it: what it is that `fovea.truth` reads.

For the release and its report: `prediction_sets` (chosen on one part, measured on another, also by class) and
`novelty` (how far held-out images and strangers are, and the threshold), by `classes` (what the distance is
measured from).
"""
