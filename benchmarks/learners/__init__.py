"""Fovea's trainer, fastai and a plain loop learn the same real images in turns."""
