"""The training job: from images to a model bundle that has passed the release gate."""
