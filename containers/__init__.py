"""What the container images are built with."""
