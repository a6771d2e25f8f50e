"""The honest unknown: what a bundle knows of the images that it has not seen, and of its own doubt.

For the programs: `known_classes` (how far an image is from the nearest class), `novelty`
(`OutOfDistribution`: beyond which distance it is unknown), `sets` (`PredictionSets`, the labels of which one
is the truth as often as was asked) and `expected` (how many answers are right, where nobody knows the
labels).
"""
