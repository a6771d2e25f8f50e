"""The honest unknown: what a bundle knows of the images that it has not seen, and of its own doubt.

For the programs: `novelty` (`OutOfDistribution`, how far an image is from those of the training).
"""
