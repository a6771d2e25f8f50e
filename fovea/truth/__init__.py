"""The honest unknown: what a bundle knows of the images that it has not seen, and of its own doubt.

For the programs: `novelty` (`OutOfDistribution`, how far an image is from those of the training), `sets`
(`PredictionSets`, the labels of which one is the truth as often as was asked) and `expected` (how many
answers are right, where nobody knows the labels).
"""
