"""The honest unknown, as a release computes it: what it is that `fovea.truth` reads.

For the release and its report: `prediction_sets` (chosen on one part, measured on another, also by class) and
`novelty` (references for the distance, and strangers that it should be large for).
"""
