"""Runs a model over a whole folder or bucket of images: one row for every image, in parquet."""
